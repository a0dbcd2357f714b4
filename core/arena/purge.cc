#include "core/arena/purge.h"

#include "core/base/os.h"

namespace aomalloc::purge {
namespace {

// What may stay free and dirty: so many bytes, and one part in kIdleFraction of
// what is in use. What exceeds that is purged after so many milliseconds.
constexpr size_t kIdleBytes = size_t{512} << 10;
constexpr size_t kIdleFraction = 10;
// The same after a peak, and what was then purged at least.
constexpr size_t kIdleFractionAfterPeak = 40;
constexpr size_t kPeakBytes = size_t{16} << 20;
constexpr AO_t kDelayMs = 100;

// The threshold: its least value, with which it begins, and its greatest.
constexpr size_t kLeastBytes = size_t{512} << 10;
constexpr size_t kMostBytes = size_t{256} << 20;
// The threshold becomes no greater than this by one regret: after a peak, what
// was purged at once says little about what is wanted again.
constexpr size_t kMostAtOnce = size_t{64} << 20;
// What one run may have, if the threshold is less, to be purged bit by bit.
constexpr size_t kMostOfRun = size_t{64} << 20;
// What stays at least in huge pages of which some is in use, unless it stays
// long.
constexpr size_t kLeastSpare = size_t{8} << 20;

// How long after the last regret the threshold falls back to the least value.
constexpr AO_t kMemoryMs = 1000;

// Addresses that may stay: so many times those in use, and so many bytes.
constexpr size_t kMostAddresses = 2;
constexpr size_t kIdleAddresses = size_t{16} << 20;
// Where a process has met its limit: one part in so many of what is in use, and
// so many bytes, a chunk.
constexpr size_t kSpareFraction = 16;
constexpr size_t kSpareAddresses = size_t{4} << 20;

// At how many chunks to look at least, when some memory has become free.
constexpr size_t kLeastLooks = 16;

// Reading the clock is a system call: only each so many calls of IfDue read it,
// twice as many as before if that was so many milliseconds ago, or less, and
// not much is free and dirty.
constexpr size_t kLeastCalls = 8;
constexpr size_t kMostCalls = 64;
constexpr AO_t kOftenMs = 8;

constexpr AO_t kNotTold = ~AO_t{0};

AtomicWord told_bytes = kNotTold;       // what Allow was called with
AtomicWord learnt_bytes = kLeastBytes;  // the threshold
AtomicWord learnt_ms;                   // when a purge was last regretted; or 0
AtomicWord spared_ms;    // when a purge that was due first spared pages; or 0
AtomicWord eager_bytes;  // purged at once since the last call of Regret
AtomicWord calls_a_clock = kLeastCalls;  // a power of two
AtomicWord read_ms;                      // when PurgeIfDue last read the clock

// True if much was purged at once, and more than is in use, and nothing fresh
// was taken since.
bool IsAfterPeak(const Arena* arena) {
  const size_t bytes = LoadRelaxed(&eager_bytes);
  return bytes > kPeakBytes &&
         bytes / arena->unit_bytes() > arena->used_units();
}

// What may stay of an arena, apart from the threshold.
size_t Allowed(const Arena* arena) {
  const size_t fraction =
      IsAfterPeak(arena) ? kIdleFractionAfterPeak : kIdleFraction;
  return kIdleBytes + arena->used_units() / fraction * arena->unit_bytes();
}

size_t AllowedAddresses(const Arena* arena) {
  if (arena->HasMetLimit()) {
    return arena->used_units() + arena->used_units() / kSpareFraction +
           kSpareAddresses / arena->unit_bytes();
  }
  const AO_t told = LoadRelaxed(&told_bytes);
  const bool is_more = told != kNotTold && told > kIdleAddresses;
  return kMostAddresses * arena->used_units() +
         (is_more ? told : kIdleAddresses) / arena->unit_bytes();
}

// The threshold. Near a limit that was met, what is dirty should not keep
// addresses back.
size_t Threshold(const Arena* arena) {
  const size_t limit = arena->limit_met();
  const bool is_near = limit != 0 && arena->accessible_units() > limit / 2;
  return is_near ? kLeastBytes : LoadRelaxed(&learnt_bytes);
}

// Whether the last regret is so long ago that the threshold falls back. Another
// thread may have regretted a purge a little later than `now`. If it was much
// later, the clock has been set back, or is refused from now on.
bool IsStale(AO_t now) {
  return now - LoadRelaxed(&learnt_ms) + kMemoryMs > 2 * kMemoryMs;
}

// How long what exceeds the above stays.
AO_t Delay(AO_t now) { return IsStale(now) ? kDelayMs : kMemoryMs; }

// Bytes of free memory that a purge should leave in huge pages of which some is
// in use, beyond those allowed. None if that was left a while ago.
size_t Spare(const Arena* arena, bool eager, AO_t now) {
  if (!eager) {
    const AO_t since = LoadRelaxed(&spared_ms);
    const bool is_long = since != 0 && now - since > kMemoryMs;
    if (since == 0 || is_long) StoreRelaxed(&spared_ms, is_long ? 0 : now);
    if (is_long) return 0;
  }
  const size_t learnt = LoadRelaxed(&learnt_bytes);
  return learnt > kLeastSpare || IsAfterPeak(arena) ? learnt : kLeastSpare;
}

// How many calls come before the clock is read, if so much exceeds what may
// stay. The more that is the sooner: the program may return memory more rarely
// by now.
size_t CallsAClock(size_t excess) {
  size_t calls = LoadRelaxed(&calls_a_clock);
  while (calls > kLeastCalls && excess > kMostCalls / calls * kLeastBytes) {
    calls /= 2;
  }
  return calls;
}

// Reads the clock, and decides how many calls come before the next time.
AO_t ReadClock() {
  const AO_t now = os::CoarseMilliseconds();
  const size_t calls = LoadRelaxed(&calls_a_clock);
  const bool is_often = now - LoadRelaxed(&read_ms) <= kOftenMs;
  StoreRelaxed(&read_ms, now);
  if (!is_often) {
    StoreRelaxed(&calls_a_clock, kLeastCalls);
  } else if (calls < kMostCalls) {
    StoreRelaxed(&calls_a_clock, 2 * calls);
  }
  return now;
}

// Has the threshold fall back, if the last regret is too long ago. True if so.
bool Forget(AO_t now) {
  const bool forgets =
      LoadRelaxed(&learnt_bytes) != kLeastBytes && IsStale(now);
  if (forgets) StoreRelaxed(&learnt_bytes, kLeastBytes);
  return forgets;
}

// `returned`: the bytes that were returned.
void PurgeIfDue(Arena* arena, size_t returned) {
  const size_t unit = arena->unit_bytes();
  const size_t dirty = arena->dirty_units() * unit;
  const AO_t told = LoadRelaxed(&told_bytes);
  if (Unlikely(told != kNotTold)) {
    if (dirty > told) {
      arena->PurgeExcess(told / unit, Arena::Effort::kBreak);
    }
    return;
  }
  const size_t allowed = Allowed(arena);
  if (dirty <= allowed) return;
  const size_t call = arena->CountOccasion();
  const size_t spared = allowed + arena->spared_units() * unit;
  if (dirty <= spared + Threshold(arena) &&
      call % CallsAClock(dirty - allowed) != 0 && LoadRelaxed(&due_ms) != 0) {
    // Where very much is free, who returns much can afford to ask whether that
    // is still learnt. It may return no more.
    const bool asks = returned >= kLeastBytes &&
                      dirty - allowed > kMostAtOnce &&
                      LoadRelaxed(&learnt_bytes) != kLeastBytes;
    if (!asks || !Forget(os::CoarseMilliseconds())) return;
  }
  const AO_t now = ReadClock();
  Forget(now);
  const bool eager = dirty > spared + Threshold(arena);
  if (eager) {
    AddRelaxed(&eager_bytes, dirty - spared);
  } else {
    // If a thread stops after it has set the due time to 0, the next call sets
    // a new one.
    const AO_t due = LoadRelaxed(&due_ms);
    if (due == 0) CasRelaxed(&due_ms, 0, now + Delay(now));
    if (due == 0 || now < due || !CasRelaxed(&due_ms, due, 0)) return;
  }
  const size_t spare = Spare(arena, eager, now);
  StoreRelaxed(&purged_ms, now);
  arena->PurgeExcess(allowed / unit, Arena::Effort::kEasy, spare / unit);
  // What was spared goes later, also if no more memory is returned.
  if (spare != 0 && arena->dirty_units() * unit > allowed) {
    CasRelaxed(&due_ms, 0, now + kMemoryMs + 1);
  }
}

}  // namespace

AtomicWord due_ms;
AtomicWord purged_ms;

void Allow(size_t bytes) { StoreRelaxed(&told_bytes, bytes); }

bool IsTold() { return LoadRelaxed(&told_bytes) != kNotTold; }

void Addresses(Arena* arena) { arena->UnmapExcess(AllowedAddresses(arena)); }

bool MakeRoom(Arena* arena) {
  if (!arena->HasMetLimit()) return false;
  const size_t there = arena->accessible_units();
  arena->PurgeExcess(0, Arena::Effort::kBreak);
  arena->UnmapExcess(0);
  return arena->accessible_units() < there;
}

void IfDue(Arena* arena, size_t units) {
  const size_t purged = arena->purged_units();
  PurgeIfDue(arena, units * arena->unit_bytes());
  // In a heap that is fragmented it may take long to find a free chunk. So this
  // takes time in proportion to what has become free.
  units += arena->purged_units() - purged;
  arena->UnmapExcess(AllowedAddresses(arena), kLeastLooks + units);
}

bool IsTooMuch(const Arena* arena, size_t bytes) {
  const AO_t told = LoadRelaxed(&told_bytes);
  const size_t learnt = LoadRelaxed(&learnt_bytes);
  return bytes > (told != kNotTold ? told : Allowed(arena)) +
                     (learnt > kMostOfRun ? learnt : kMostOfRun);
}

void Regret() {
  // A purge is regretted once: two threads would learn twice as much from it.
  const AO_t then = LoadRelaxed(&purged_ms);
  if (then == 0 || !CasRelaxed(&purged_ms, then, 0)) return;
  const size_t eager = LoadRelaxed(&eager_bytes);
  StoreRelaxed(&eager_bytes, 0);
  const AO_t now = os::CoarseMilliseconds();
  if (now - then >= kDelayMs) return;
  StoreRelaxed(&learnt_ms, now);
  if (eager == 0) return;
  const size_t learnt = LoadRelaxed(&learnt_bytes);
  const size_t more = 2 * (eager > learnt ? eager : learnt);
  const size_t most = learnt < kMostAtOnce ? kMostAtOnce : kMostBytes;
  StoreRelaxed(&learnt_bytes, more < most ? more : most);
}

}  // namespace aomalloc::purge
