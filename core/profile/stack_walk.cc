#include "core/profile/stack_walk.h"

#include <string.h>

#include "core/base/os.h"
#include "core/profile/frame_rules.h"
#include "core/profile/rule_cache.h"

namespace aomalloc::stack_walk {
namespace {

// struct dl_find_object of <dlfcn.h>.
struct Object {
  unsigned long long flags;
  char* start;
  char* end;
  void* link_map;
  void* eh_frame_hdr;
  unsigned long long reserved[7];
};

// Under a name of our own, because not every <dlfcn.h> declares the function.
extern "C" __attribute__((weak)) int find_object(
    void* address, Object* object) __asm__("_dl_find_object");

bool FindObject(uintptr_t address, Object* object) {
  return find_object(reinterpret_cast<void*>(address), object) == 0;
}

RuleCache rule_cache;

// Reads words of a stack, which may end at any page.
class Memory {
 public:
  bool Load(uintptr_t address, uintptr_t* value) {
    if (!IsReadable(address)) return false;
    // The kernel can read the page, so this load does not fault.
    // NOLINTNEXTLINE(clang-analyzer-core.NullDereference)
    *value = *reinterpret_cast<const volatile uintptr_t*>(address);
    return true;
  }

  bool MayLook() {
    if (look_ == kNotAsked) look_ = os::MayLook() ? kMay : kMayNot;
    return look_ == kMay;
  }

  bool IsReadable(uintptr_t address) {
    if (address % sizeof(uintptr_t) != 0) return false;
    const uintptr_t page = address / kPage;
    if (page == page_) return true;
    if (!MayLook() || !os::IsReadable(reinterpret_cast<const void*>(address))) {
      return false;
    }
    page_ = page;
    return true;
  }

 private:
  static constexpr uintptr_t kPage = 4096;  // a page, or a part of one

  // The last page that was found readable; at first the page of this object.
  uintptr_t page_ = reinterpret_cast<uintptr_t>(this) / kPage;

  // What os::MayLook returned.
  enum { kNotAsked, kMayNot, kMay } look_ = kNotAsked;
};

class Walker {
 public:
  explicit Walker(const Registers& registers) : now_(registers) {}

  // The address that stands for the function in the result.
  uintptr_t address() const { return now_.pc + (interrupted_ ? 1 : 0); }

  // Goes to the caller. False if there is none, or if it cannot be found.
  bool Step() {
    FrameRules rules;
    if (!FindRules(&rules)) {
      return IsAtSignalReturn() ? StepByInterruption() : StepByFrame();
    }
    if (rules.is_signal_frame) return StepByInterruption();
    interrupted_ = false;
    uintptr_t cfa;
    if (!FindCfa(rules, &cfa)) return StepByFrame();
    Registers next{};
    next.stack = cfa;
    if (!Find(rules.caller, cfa, now_.caller, &next.pc)) return false;
    // If the frame pointer cannot be found, it may not be needed.
    if (!Find(rules.frame, cfa, now_.frame, &next.frame)) next.frame = 0;
    next.pc = PlainAddress(next.pc);
    // Each return shrinks the stack, unless the function has put nothing there;
    // and such a function does not return to itself.
    const bool moves = cfa > now_.stack;
    if (!moves && (cfa < now_.stack || next.pc == now_.pc)) return false;
    now_ = next;
    return now_.pc != 0;
  }

 private:
  bool FindRules(FrameRules* rules) const {
    // A return address may be the first one behind the function.
    const uintptr_t pc = interrupted_ ? now_.pc : now_.pc - 1;
    return rule_cache.Find(pc, rules) || ReadRules(pc, rules);
  }

  // Not inlined, so that the walk does not need its stack frame all the time.
  [[gnu::noinline]] static bool ReadRules(uintptr_t pc, FrameRules* rules) {
    Object object;
    if (!FindObject(pc, &object) || object.eh_frame_hdr == nullptr) {
      return false;
    }
    const bool found = FindFrameRules(object.eh_frame_hdr, pc, rules);
    if (found) rule_cache.Add(pc, *rules);
    return found;
  }

  bool FindCfa(const FrameRules& rules, uintptr_t* cfa) {
    const auto offset = static_cast<intptr_t>(rules.cfa_offset);
    switch (rules.cfa) {
      case FrameRules::Cfa::kStack:
        *cfa = now_.stack + static_cast<uintptr_t>(offset);
        return true;
      case FrameRules::Cfa::kFrame:
        *cfa = now_.frame + static_cast<uintptr_t>(offset);
        return true;
      case FrameRules::Cfa::kInFrame:
        return memory_.Load(now_.frame + static_cast<uintptr_t>(offset), cfa);
      default:
        return false;
    }
  }

  bool Find(const FrameRule& rule, uintptr_t cfa, uintptr_t same,
            uintptr_t* value) {
    const auto offset =
        static_cast<uintptr_t>(static_cast<intptr_t>(rule.offset));
    switch (rule.where) {
      case FrameRule::Where::kSame:
        *value = same;
        return true;
      case FrameRule::Where::kAtCfa:
        return memory_.Load(cfa + offset, value);
      case FrameRule::Where::kAtFrame:
        return memory_.Load(now_.frame + offset, value);
      default:
        return false;
    }
  }

  bool IsAtSignalReturn() {
    const auto is_readable = [](uintptr_t address) {
      return os::IsReadable(
          reinterpret_cast<const void*>(address & ~uintptr_t{3}));
    };
    const uintptr_t last = now_.pc + sizeof(kSignalReturn) - 1;
    return memory_.MayLook() && is_readable(now_.pc) && is_readable(last) &&
           memcmp(reinterpret_cast<const void*>(now_.pc), kSignalReturn,
                  sizeof(kSignalReturn)) == 0;
  }

  // Goes to the caller by the frame pointer: it points to the caller's frame
  // pointer, and the next word is the return address.
  bool StepByFrame() {
    constexpr uintptr_t kFarthest = uintptr_t{1} << 20;
    const uintptr_t frame = now_.frame;
    if (frame - now_.stack > kFarthest) return false;
    Registers next{};
    next.stack = frame + 2 * sizeof(uintptr_t);
    const uintptr_t above = frame + sizeof(uintptr_t);
    if (!memory_.Load(frame, &next.frame)) return false;
    if (!memory_.Load(above, &next.pc)) return false;
    next.pc = PlainAddress(next.pc);
    interrupted_ = false;
    now_ = next;
    return now_.pc != 0;
  }

  // Goes to the code that a signal interrupted, whose registers are on the
  // stack.
  bool StepByInterruption() {
    const auto* frame = reinterpret_cast<const SignalFrame*>(now_.stack);
    const uintptr_t last = now_.stack + kSignalFrameBytes - sizeof(uintptr_t);
    uintptr_t word;
    if (!memory_.Load(now_.stack, &word)) return false;
    if (!memory_.Load(last, &word)) return false;
    now_ = InterruptedRegisters(*frame);
    interrupted_ = true;
    return now_.pc != 0;
  }

  Registers now_;
  Memory memory_;
  // True if `now_.pc` is the address of the next instruction; else it is a
  // return address.
  bool interrupted_ = true;
};

}  // namespace

bool IsPossible() { return find_object != nullptr; }

size_t Walk(const Registers& registers, uintptr_t* addresses, size_t most) {
  Walker walker(registers);
  size_t count = 0;
  do {
    addresses[count++] = walker.address();
  } while (count < most && walker.Step());
  return count;
}

size_t CountInside(const void* code, const uintptr_t* addresses, size_t count) {
  Object object;
  if (!FindObject(reinterpret_cast<uintptr_t>(code), &object)) return 0;
  const auto start = reinterpret_cast<uintptr_t>(object.start);
  const auto end = reinterpret_cast<uintptr_t>(object.end);
  size_t inside = 0;
  while (inside < count && addresses[inside] - start < end - start) ++inside;
  return inside;
}

bool FindExtent(uintptr_t address, Extent* extent) {
  Object object;
  if (!FindObject(address, &object)) return false;
  *extent = {reinterpret_cast<uintptr_t>(object.start),
             reinterpret_cast<uintptr_t>(object.end), object.link_map};
  return true;
}

}  // namespace aomalloc::stack_walk
