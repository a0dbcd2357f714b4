#include "core/profile/profile.h"

#include "core/base/os.h"
#include "core/base/os_memory.h"
#include "core/profile/stack_walk.h"

namespace aomalloc::profile {
namespace {

// An entry: a stack, and the counts of what was allocated there.
struct Entry {
  Entry* next;  // on its list; written before the entry is published
  AtomicWord allocated;
  AtomicWord allocated_bytes;
  AtomicWord freed;
  AtomicWord freed_bytes;
  size_t depth;
  uintptr_t addresses[1];  // there are `depth`
};

// Address space for entries and samplers: enough for some ten thousand stacks.
// It takes memory only as it is used.
constexpr size_t kMemoryBytes = size_t{16} << 20;
constexpr size_t kAlignment = 16;
constexpr size_t kLists = 4096;
static_assert(kMemoryBytes / kAlignment <= UINT32_MAX,
              "Run has 32 bits for it");

char* memory;  // its first kAlignment bytes are not used: 0 means no sample
AtomicWord memory_used;
AtomicWord lists[kLists];  // Entry*, by hash
AtomicWord missed;
const void* own_code;

size_t HashOf(const uintptr_t* addresses, size_t depth) {
  uint64_t hash = depth;
  for (size_t i = 0; i < depth; ++i) {
    hash = (hash ^ addresses[i]) * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 29;
  }
  return hash % kLists;
}

bool IsOf(const Entry* entry, const uintptr_t* addresses, size_t depth) {
  if (entry->depth != depth) return false;
  for (size_t i = 0; i < depth; ++i) {
    if (entry->addresses[i] != addresses[i]) return false;
  }
  return true;
}

Entry* Make(const uintptr_t* addresses, size_t depth) {
  auto* entry = static_cast<Entry*>(
      TakeMemory(sizeof(Entry) + (depth - 1) * sizeof(uintptr_t)));
  if (entry == nullptr) return nullptr;
  entry->depth = depth;
  for (size_t i = 0; i < depth; ++i) entry->addresses[i] = addresses[i];
  return entry;
}

// The entry of a stack; null if there is no memory for it.
Entry* Find(const uintptr_t* addresses, size_t depth) {
  AtomicWord* list = &lists[HashOf(addresses, depth)];
  Entry* made = nullptr;
  Entry* seen = nullptr;  // the list has been searched from here on
  Entry* head;
  do {
    // Acquire: pairs with the release below. The entries are read next.
    head = reinterpret_cast<Entry*>(LoadAcquire(list));
    for (Entry* entry = head; entry != seen; entry = entry->next) {
      if (IsOf(entry, addresses, depth)) return entry;
    }
    seen = head;
    if (made == nullptr) made = Make(addresses, depth);
    if (made == nullptr) return nullptr;
    made->next = head;
    // Release: pairs with the acquire above and in ForEachEntry. If another
    // thread has added an entry meanwhile, it may be for the same stack: search
    // again.
  } while (!CasRelease(list, reinterpret_cast<AO_t>(head),
                       reinterpret_cast<AO_t>(made)));
  return made;
}

Counts CountsOf(const Entry* entry) {
  Counts counts;
  // The frees are read first, because each comes after its allocation. These
  // loads are relaxed, so the difference may be negative all the same:
  // Difference returns 0 then.
  counts.freed = LoadRelaxed(&entry->freed);
  counts.freed_bytes = LoadRelaxed(&entry->freed_bytes);
  counts.allocated = LoadRelaxed(&entry->allocated);
  counts.allocated_bytes = LoadRelaxed(&entry->allocated_bytes);
  return counts;
}

template <typename Visit>
void ForEachEntry(Visit visit) {
  for (AtomicWord& list : lists) {
    // Acquire: pairs with the release in Find. The entries are read next.
    const auto* entry = reinterpret_cast<const Entry*>(LoadAcquire(&list));
    for (; entry != nullptr; entry = entry->next) visit(entry);
  }
}

size_t Difference(size_t more, size_t less) {
  return more > less ? more - less : 0;
}

void WriteCounts(const Counts& counts, Output* out) {
  out->Decimal(Difference(counts.allocated, counts.freed)).Text(": ");
  out->Decimal(Difference(counts.allocated_bytes, counts.freed_bytes));
  out->Text(" [").Decimal(counts.allocated).Text(": ");
  out->Decimal(counts.allocated_bytes).Text("] @");
}

void WriteEntry(const Entry* entry, Output* out) {
  WriteCounts(CountsOf(entry), out);
  for (size_t i = 0; i < entry->depth; ++i) {
    // The tools subtract 1 from each address but the first.
    const uintptr_t address = entry->addresses[i] - (i == 0 ? 1 : 0);
    out->Text(" 0x").Text(Digits(address, 16).text());
  }
  out->Text("\n");
}

// The mappings of the process, by which the tools find the functions at the
// addresses. The thread's: those of a first thread that has ended are empty.
void WriteMappings(Output* out) {
  out->Text("\nMAPPED_LIBRARIES:\n");
  const int maps = os::OpenToRead("/proc/thread-self/maps");
  if (maps < 0) return;
  char text[128];
  while (const size_t length = os::Read(maps, text, sizeof(text) - 1)) {
    text[length] = '\0';
    out->Text(text);
  }
  os::Close(maps);
}

}  // namespace

AtomicWord mean_bytes;

const char* Start(size_t mean, const void* code) {
  constexpr const char* kNoObjects =
      "the C library cannot tell where code is (glibc 2.35 can)";
  constexpr const char* kNoMemory = "there is no memory for it";
  if (!stack_walk::IsPossible()) return kNoObjects;
  void* got = os::Map(kMemoryBytes, os::PageSize());
  if (got == nullptr) return kNoMemory;
  os::Name(got, kMemoryBytes, os::kProfileName);
  memory = static_cast<char*>(got);
  StoreRelaxed(&memory_used, kAlignment);
  own_code = code;
  StoreRelaxed(&mean_bytes, mean);
  return nullptr;
}

void* TakeMemory(size_t bytes) {
  bytes = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  AO_t start;
  do {
    start = LoadRelaxed(&memory_used);
    if (kMemoryBytes - start < bytes) return nullptr;
  } while (!CasRelaxed(&memory_used, start, start + bytes));
  return memory + start;
}

void Record(Run* span, size_t bytes, uintptr_t (*scratch)[kMaxDepth]) {
  uintptr_t* addresses = *scratch;
  size_t depth = stack_walk::Walk(CurrentRegisters(), addresses, kMaxDepth);
  const size_t own = own_code == nullptr
                         ? 0
                         : stack_walk::CountInside(own_code, addresses, depth);
  // At least one address stays.
  const size_t skipped = own < depth ? own : depth - 1;
  addresses += skipped;
  depth -= skipped;
  Entry* entry = Find(addresses, depth);
  if (entry == nullptr) return AddRelaxed(&missed, 1);
  AddRelaxed(&entry->allocated, 1);
  AddRelaxed(&entry->allocated_bytes, bytes);
  span->sample_bytes = bytes;
  span->sample = static_cast<uint32_t>(
      static_cast<size_t>(reinterpret_cast<char*>(entry) - memory) /
      kAlignment);
}

void ForgetSample(Run* span) {
  auto* entry = reinterpret_cast<Entry*>(memory + span->sample * kAlignment);
  span->sample = 0;
  AddRelaxed(&entry->freed, 1);
  AddRelaxed(&entry->freed_bytes, span->sample_bytes);
}

Counts Total() {
  Counts total;
  ForEachEntry([&](const Entry* entry) {
    const Counts counts = CountsOf(entry);
    total.allocated += counts.allocated;
    total.allocated_bytes += counts.allocated_bytes;
    total.freed += counts.freed;
    total.freed_bytes += counts.freed_bytes;
  });
  return total;
}

void ForEach(void (*visit)(void* context, const Stack& stack), void* context) {
  ForEachEntry([&](const Entry* entry) {
    visit(context, {entry->addresses, entry->depth, CountsOf(entry)});
  });
}

size_t Missed() { return LoadRelaxed(&missed); }

void Write(Output* out) {
  out->Text("heap profile: ");
  WriteCounts(Total(), out);
  out->Text(" heap_v2/").Decimal(LoadRelaxed(&mean_bytes)).Text("\n");
  ForEachEntry([out](const Entry* entry) { WriteEntry(entry, out); });
  WriteMappings(out);
}

}  // namespace aomalloc::profile
