#include "core/arena/move.h"

#include <string.h>

#include "core/base/os.h"
#include "core/base/os_memory.h"

namespace aomalloc::move {
namespace {

AtomicWord moved;    // runs with moved pages, or that are about to have some
AtomicWord refused;  // not 0: nothing is moved any more
AtomicWord forked;   // not 0: there are pages that are older than a fork

bool IsZero(const char* page, size_t bytes) {
  uintptr_t word;
  memcpy(&word, page, sizeof(word));
  return word == 0 && memcmp(page, page + 1, bytes - 1) == 0;
}

}  // namespace

Outcome Pages(Run* from, size_t bytes, Run* to, size_t to_bytes) {
  if (LoadRelaxed(&refused) != 0 || LoadRelaxed(&moved) >= kMostMoved) {
    return Outcome::kRefused;
  }
  AddRelaxed(&moved, 1);
  Outcome outcome = Outcome::kRefused;
  void* detached = os::Detach(from->base, bytes);
  if (detached != nullptr) {
    os::Mark(to->base);
    bool attached = os::Attach(detached, bytes, to->base, to_bytes);
    if (!attached) {
      GiveUp();
      // A filter may report a failure although the pages were attached.
      attached = os::MayLook() && !os::IsReadable(detached);
    }
    if (attached) {
      to->moved_units = to->units;
      return Outcome::kMoved;
    }
    // Put the contents back. The kernel may have unmapped the pages at `to`
    // before it refused.
    Copy(static_cast<char*>(detached), from->base, bytes, /*to_is_zero=*/true);
    os::Unmap(detached, bytes);
    const bool is_there =
        os::FillHole(to->base, to_bytes) == os::Filled::kDone ||
        os::IsMarked(to->base);
    outcome = is_there ? Outcome::kSoiled : Outcome::kLost;
  }
  AddRelaxed(&moved, ~AO_t{0});
  return outcome;
}

void Forget(Run* run, const Arena* arena, bool renewed) {
  run->moved_units = 0;
  const size_t places =
      arena->accessible_units() * arena->unit_bytes() / kLeastBytes;
  const bool stays = LoadRelaxed(&forked) != 0 && places > kMostMoved;
  if (stays || !renewed) return;
  AddRelaxed(&moved, ~AO_t{0});
}

void InForkChild() { StoreRelaxed(&forked, 1); }

void GiveUp() { StoreRelaxed(&refused, 1); }

void Copy(const char* from, char* to, size_t bytes, bool to_is_zero) {
  constexpr size_t kPage = 4096;  // or a part of one
  for (size_t at = 0; at < bytes; at += kPage) {
    const size_t length = bytes - at < kPage ? bytes - at : kPage;
    if (to_is_zero && IsZero(from + at, length)) continue;
    memcpy(to + at, from + at, length);
  }
}

}  // namespace aomalloc::move
