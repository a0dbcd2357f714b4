// A plugin of qemu's user-mode emulation that counts how often cache lines
// change hands (README.md).
//
//   -plugin libtransfers.so,out=FILE,allocator=FILE[,turn=INSTRUCTIONS]
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <mutex>

#include "announce.h"
#include "counts.h"
#include "qemu_plugin.h"
#include "turns.h"

namespace transfers {
namespace {

constexpr int kUsualTurn = 50;
// What the program's clock begins with.
constexpr uint64_t kFirstSecond = 1'000'000'000;

struct Thread {
  uint32_t cache;
  bool inside;       // the allocator
  uint64_t block;    // that it runs: the address of its first instruction
  uint64_t call[6];  // the arguments of the system call that it is in
};

struct State {
  State(std::string out, std::string allocator, int turn)
      : out(std::move(out)), counts(std::move(allocator)), turns(turn) {}

  const std::string out;
  Counts counts;
  Turns turns;
  std::mutex mutex;  // for everything but `turns`
  Thread threads[Turns::kMostThreads] = {};
  uint32_t caches = 0;
  bool begun = false;
  bool has_stack = false;
  bool in_main = false;
};
State* state;

[[noreturn]] void Die(const char* what) {
  fprintf(stderr, "transfers: %s\n", what);
  _exit(1);
}

Thread& At(unsigned vcpu) { return state->threads[vcpu]; }

// A thread that is new has a cache of its own, which is empty.
void OnThread(qemu_plugin_id_t, unsigned vcpu) {
  if (vcpu >= Turns::kMostThreads) Die("too many threads");
  const std::lock_guard<std::mutex> lock(state->mutex);
  At(vcpu) = {};
  At(vcpu).cache = state->caches++;
  if (state->begun) state->turns.Expect(static_cast<int>(vcpu));
}

struct Block {
  uint64_t start;
  int instructions;
};

void OnBlock(unsigned vcpu, void* data) {
  const auto* block = static_cast<const Block*>(data);
  state->turns.Run(static_cast<int>(vcpu), block->instructions);
  At(vcpu).block = block->start;
  if (state->begun) return;
  state->begun = true;
  if (!state->counts.regions().Begin(block->start)) {
    Die("the program is not mapped where it sees itself");
  }
}

void OnAccess(unsigned vcpu, qemu_plugin_meminfo_t info, uint64_t address,
              void* code) {
  if (state->turns.over()) return;
  const bool store = qemu_plugin_mem_is_store(info);
  const std::lock_guard<std::mutex> lock(state->mutex);
  if (store && !state->has_stack) {
    // The first store of all is a push.
    state->has_stack = true;
    state->counts.regions().AddFirstStack(address);
    state->counts.Changed(0, ~uint64_t{0} >> 1);
  }
  const Thread& thread = At(vcpu);
  state->counts.Add(
      {thread.cache, thread.inside, store, reinterpret_cast<uint64_t>(code)},
      address, 1U << qemu_plugin_mem_size_shift(info));
}

void OnTranslation(qemu_plugin_id_t, qemu_plugin_tb* translated) {
  const size_t count = qemu_plugin_tb_n_insns(translated);
  // Lives as long as qemu may run the translation: for ever.
  auto* block =
      new Block{qemu_plugin_tb_vaddr(translated), static_cast<int>(count)};
  qemu_plugin_register_vcpu_tb_exec_cb(translated, OnBlock,
                                       QEMU_PLUGIN_CB_NO_REGS, block);
  for (size_t n = 0; n < count; ++n) {
    qemu_plugin_insn* instruction = qemu_plugin_tb_get_insn(translated, n);
    qemu_plugin_register_vcpu_mem_cb(
        instruction, OnAccess, QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_RW,
        reinterpret_cast<void*>(qemu_plugin_insn_vaddr(instruction)));
  }
}

// True if it was an announcement.
bool OnAnnouncement(Thread* thread, long number, uint64_t a, uint64_t b) {
  switch (number) {
    case kMain:
      state->in_main = true;
      return true;
    case kEnter:
      thread->inside = true;
      return true;
    case kAllocated:
      thread->inside = false;
      state->counts.Allocated(thread->cache, a, b);
      return true;
    case kFreeing:
      thread->inside = true;
      state->counts.Freeing(thread->cache, a);
      return true;
    case kLeave:
      thread->inside = false;
      return true;
    default:
      return false;
  }
}

// qemu has no robust lists. Without them, and without restartable sequences,
// aomalloc cannot be sure of the ids of threads, and searches for their heaps
// when they begin and end. It asks only whether there is a list, so it is told
// that there is one: `place` is where the program wants the address.
void AnswerRobustList(uint64_t place) {
  *reinterpret_cast<uint64_t*>(place) = place;
}

// The program's clock goes by what it has done. By the system's, which goes on
// while qemu and this plugin work, all that an allocator does after so many
// milliseconds would come much too often.
void AnswerClock(uint64_t place) {
  constexpr uint64_t kSecond = 1'000'000'000;
  const uint64_t now = state->turns.nanoseconds();
  auto* answer = reinterpret_cast<timespec*>(place);
  answer->tv_sec = static_cast<time_t>(kFirstSecond + now / kSecond);
  answer->tv_nsec = static_cast<long>(now % kSecond);
}

void OnCall(qemu_plugin_id_t, unsigned vcpu, int64_t number, uint64_t a,
            uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f,
            uint64_t, uint64_t) {
  {
    const std::lock_guard<std::mutex> lock(state->mutex);
    Thread& thread = At(vcpu);
    if (OnAnnouncement(&thread, number, a, b)) return;
    const uint64_t call[] = {a, b, c, d, e, f};
    memcpy(thread.call, call, sizeof(call));
    if (number == SYS_get_robust_list) AnswerRobustList(b);
    if (number == SYS_munmap || number == SYS_mremap ||
        (number == SYS_madvise && c == MADV_DONTNEED)) {
      state->counts.Forget(a, b);
    }
  }
  if (number == SYS_exit_group) return state->turns.End();
  state->turns.Leave(static_cast<int>(vcpu));
}

void OnMapped(const Thread& thread, uint64_t start) {
  const uint64_t size = thread.call[1];
  const uint64_t flags = thread.call[3];
  Regions& regions = state->counts.regions();
  if ((flags & MAP_ANONYMOUS) == 0) {
    regions.AddFile(start, size, thread.call[5],
                    static_cast<int>(thread.call[4]));
  } else {
    const bool allocators =
        thread.inside || !state->in_main || regions.IsAllocator(thread.block);
    Owner owner = allocators ? Owner::kAllocator : Owner::kProgram;
    if ((flags & MAP_STACK) != 0) owner = Owner::kStack;
    regions.AddMemory(start, size, thread.block, owner);
  }
  state->counts.Forget(start, size);
  state->counts.Changed(start, size);
}

void OnReturn(qemu_plugin_id_t, unsigned vcpu, int64_t number, int64_t result) {
  const std::lock_guard<std::mutex> lock(state->mutex);
  const Thread& thread = At(vcpu);
  const auto place = static_cast<uint64_t>(result);
  if (result < 0 && result >= -4095) return;
  if (number == SYS_clock_gettime) AnswerClock(thread.call[1]);
  if (number == SYS_mmap) OnMapped(thread, place);
  if (number == SYS_mremap) {
    state->counts.regions().AddMemory(place, thread.call[2], thread.block,
                                      Owner::kAllocator);
    state->counts.Forget(place, thread.call[2]);
    state->counts.Changed(place, thread.call[2]);
  }
}

void OnExit(qemu_plugin_id_t, void*) {
  state->turns.End();
  const std::lock_guard<std::mutex> lock(state->mutex);
  FILE* out = fopen(state->out.c_str(), "we");
  if (out == nullptr) Die("cannot write the report");
  fprintf(out, "{\"threads\": %u, \"stolen turns\": %d,\n", state->caches,
          state->turns.stolen());
  state->counts.Write(out);
  fprintf(out, "}\n");
  if (fclose(out) != 0) Die("cannot write the report");
}

// The value of an argument NAME=VALUE, null if it is another one.
const char* ValueOf(const char* argument, const char* name) {
  const size_t length = strlen(name);
  const bool is_it =
      strncmp(argument, name, length) == 0 && argument[length] == '=';
  return is_it ? argument + length + 1 : nullptr;
}

}  // namespace
}  // namespace transfers

int qemu_plugin_version = 1;

int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t*, int argc,
                        char** argv) {
  using namespace transfers;  // NOLINT(google-build-using-namespace)
  const char *out = nullptr, *allocator = "";
  int turn = kUsualTurn;
  for (int n = 0; n < argc; ++n) {
    if (const char* value = ValueOf(argv[n], "out")) out = value;
    if (const char* value = ValueOf(argv[n], "allocator")) allocator = value;
    if (const char* value = ValueOf(argv[n], "turn")) turn = atoi(value);
  }
  if (out == nullptr || turn < 1) Die("arguments: out=FILE, allocator=FILE");
  state = new State(out, allocator, turn);
  qemu_plugin_register_vcpu_init_cb(id, OnThread);
  qemu_plugin_register_vcpu_tb_trans_cb(id, OnTranslation);
  qemu_plugin_register_vcpu_syscall_cb(id, OnCall);
  qemu_plugin_register_vcpu_syscall_ret_cb(id, OnReturn);
  qemu_plugin_register_atexit_cb(id, OnExit, nullptr);
  return 0;
}
