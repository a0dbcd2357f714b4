#include "test/stepper/tracer.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "test/stepper/scenarios.h"
#include "test/stepper/symbols.h"
#include "test/stepper/victim.h"

namespace stepper {
namespace {

// Beyond so many instructions a later run of the operation is stopped by its
// address and not by their number.
constexpr unsigned kMaxCounted = 400;

// What tells stops at system calls from others (PTRACE_O_TRACESYSGOOD).
constexpr int kTracesCalls = 0x80;

// The time that every thread under test reads, from its start to its end; it
// passes for those that are prepared before the first trial. A slow machine
// takes longer than the purge delay for a trial, and more for a recording:
// paths that depend on time would differ.
const timespec& StoppedClock() {
  static const timespec stopped = [] {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return now;
  }();
  return stopped;
}

// Seconds since the traced process was last heard of. That it takes its time is
// no failure: on a busy machine each of thousands of steps may have to wait.
volatile int silent_seconds;

void OnAlarm(int) { ++silent_seconds; }  // and it ends a waitpid

// Whether a process or thread that is traced has crashed, say.
bool SomebodyEnded() {
  siginfo_t info{};
  return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) == 0 &&
         info.si_pid != 0;
}

class Tracer {
 public:
  Tracer(const Boundary& boundary, size_t nested_step, Path* path)
      : boundary_(boundary), nested_step_(nested_step), path_(path) {}

  Outcome Trace();

 private:
  enum class Stop { kMark, kStep, kBreakpoint, kCall, kOther };

  void GiveUpIfSilent();
  bool AnswersForClock(int status);
  Stop Classify(int status);
  Stop Resume(__ptrace_request how, int signal);
  Stop RunToBreakpoint(uintptr_t pc);
  void AtMark();
  void Record();
  void RecordCall(const Call& call);
  void RecordCalls();
  void Prelude();
  void Nested();
  bool CountSteps(size_t steps, Mark end);
  bool RunToBoundary();
  void ActAtBoundary();
  bool RunToCall();
  void MakeFail();
  void FailCalls();
  void Poke(uintptr_t pc, uint8_t byte);
  bool SkipRepeated();

  const Boundary boundary_;
  const size_t nested_step_;
  Path* const path_;
  pid_t process_ = 0;
  pid_t thread_ = 0;    // the thread under test, once it has stopped
  bool alive_ = true;   // that thread
  bool ended_ = false;  // the process
  int end_status_ = 0;
  int runs_ = 0;         // how often the operation has begun
  int signal_ = 0;       // to be delivered when the thread is resumed
  uintptr_t armed_ = 0;  // where a breakpoint is
  user_regs_struct registers_;
  unsigned long mark_ = 0;
  long failing_ = 0;  // the number of the calls that fail
  Outcome outcome_;
};

// The text is the same in this process and in those forked from it.
uint8_t ByteAt(uintptr_t pc) { return *reinterpret_cast<const uint8_t*>(pc); }

void Tracer::Poke(uintptr_t pc, uint8_t byte) {
  const uintptr_t word = pc & ~uintptr_t{7};
  const unsigned shift = static_cast<unsigned>(pc - word) * 8;
  errno = 0;
  unsigned long text = static_cast<unsigned long>(
      ptrace(PTRACE_PEEKTEXT, thread_, word, nullptr));
  text =
      (text & ~(0xffUL << shift)) | (static_cast<unsigned long>(byte) << shift);
  ptrace(PTRACE_POKETEXT, thread_, word, text);
}

void Tracer::GiveUpIfSilent() {
  if (silent_seconds < deadline_seconds) return;
  snprintf(outcome_.message, sizeof outcome_.message, "no progress");
  kill(process_, SIGKILL);
}

// Whether the thread has stopped because it asks for the time (victim.cc),
// which it is told then, in place of the kernel.
bool Tracer::AnswersForClock(int status) {
  if (status >> 8 != (SIGTRAP | PTRACE_EVENT_SECCOMP << 8)) return false;
  const timespec& stopped = StoppedClock();
  static_assert(sizeof stopped == 2 * sizeof(long));
  user_regs_struct asking;
  ptrace(PTRACE_GETREGS, thread_, nullptr, &asking);
  ptrace(PTRACE_POKEDATA, thread_, asking.rsi, stopped.tv_sec);
  ptrace(PTRACE_POKEDATA, thread_, asking.rsi + sizeof(long), stopped.tv_nsec);
  asking.orig_rax = ~0ULL;  // no call
  asking.rax = 0;
  ptrace(PTRACE_SETREGS, thread_, nullptr, &asking);
  return true;
}

// Looks at a stop of the thread under test, of which the registers are read.
Tracer::Stop Tracer::Classify(int status) {
  ptrace(PTRACE_GETREGS, thread_, nullptr, &registers_);
  const int signal = WSTOPSIG(status);
  if (signal == (SIGTRAP | kTracesCalls)) return Stop::kCall;
  if (signal != SIGTRAP) {
    // SIGCHLD of a handler's fork, say; or a crash.
    signal_ = signal;
    if (signal == SIGSEGV || signal == SIGBUS || signal == SIGABRT ||
        signal == SIGILL || signal == SIGFPE) {
      outcome_.crash_pc = registers_.rip;
      outcome_.crash_caller = static_cast<uintptr_t>(
          ptrace(PTRACE_PEEKDATA, thread_, registers_.rsp, nullptr));
    }
    return Stop::kOther;
  }
  // An int3 is in this program, or was put there: no need to ask the kernel.
  if (armed_ == 0 && !InProgram(registers_.rip)) return Stop::kStep;
  siginfo_t info;
  ptrace(PTRACE_GETSIGINFO, thread_, nullptr, &info);
  // A step is TRAP_TRACE, or TRAP_BRKPT after a system call; an int3 neither.
  if (info.si_code != SI_KERNEL) return Stop::kStep;
  if (armed_ != 0 && registers_.rip == armed_ + 1) {
    registers_.rip = armed_;
    ptrace(PTRACE_SETREGS, thread_, nullptr, &registers_);
    return Stop::kBreakpoint;
  }
  mark_ = registers_.rax;
  return Stop::kMark;
}

// Resumes the thread and waits for it. kOther also when it is gone.
Tracer::Stop Tracer::Resume(__ptrace_request how, int signal) {
  signal_ = 0;
  ptrace(how, thread_, nullptr, signal);
  while (true) {
    int status;
    const pid_t pid = waitpid(-1, &status, __WALL);
    if (pid < 0) {
      if (errno == EINTR) {
        GiveUpIfSilent();
        continue;
      }
      alive_ = false;
      ended_ = true;
      return Stop::kOther;
    }
    silent_seconds = 0;
    if (WIFSTOPPED(status)) {
      if (!AnswersForClock(status)) return Classify(status);
      ptrace(how, thread_, nullptr, 0);
      continue;
    }
    if (pid == thread_) alive_ = false;
    if (pid == process_) {
      end_status_ = status;
      ended_ = true;
      alive_ = false;
    }
    if (!alive_) return Stop::kOther;
  }
}

// Runs to `pc`, or to whatever comes first. The breakpoint is gone afterwards.
Tracer::Stop Tracer::RunToBreakpoint(uintptr_t pc) {
  armed_ = pc;
  Poke(pc, 0xcc);
  Stop stop;
  do {
    stop = Resume(PTRACE_CONT, signal_);
  } while (alive_ && stop == Stop::kOther && outcome_.crash_pc == 0);
  armed_ = 0;
  if (alive_) Poke(pc, ByteAt(pc));
  return stop;
}

// A string instruction traps at each repetition: runs past it.
bool Tracer::SkipRepeated() {
  const uintptr_t pc = registers_.rip;
  if (ByteAt(pc) != 0xf3 && ByteAt(pc) != 0xf2) return false;
  const uintptr_t opcode = pc + (ByteAt(pc + 1) == 0x48 ? 2 : 1);
  const uint8_t code = ByteAt(opcode);
  if (code != 0xa4 && code != 0xa5 && code != 0xaa && code != 0xab) {
    return false;
  }
  RunToBreakpoint(opcode + 1);
  return true;
}

void Tracer::RecordCall(const Call& call) {
  if (path_->num_calls < Path::kMaxCalls) {
    path_->calls[path_->num_calls++] = call;
  }
}

// From a mark to the mark kEnd, instruction by instruction.
void Tracer::Record() {
  Stop stop = Stop::kStep;
  while (alive_ && stop != Stop::kMark) {
    if (!InProgram(registers_.rip)) {
      if (path_->length == 0) {
        path_->entry_sp = path_->lowest_sp = registers_.rsp;
      }
      if (registers_.rsp < path_->lowest_sp) path_->lowest_sp = registers_.rsp;
      if (path_->length < Path::kCapacity) {
        path_->pcs[path_->length++] = registers_.rip;
      }
      if (InLibrary(registers_.rip) && IsSystemCall(registers_.rip)) {
        user_regs_struct asking = registers_;
        asking.orig_rax = asking.rax;
        asking.rip += 2;
        RecordCall(CallIn(asking));
      }
      if (SkipRepeated()) continue;
    }
    stop = Resume(PTRACE_SINGLESTEP, signal_);
    if (outcome_.crash_pc != 0) return;
  }
  outcome_.reached = alive_;
}

// Executes `steps` instructions outside this program. False if the mark `end`
// comes before that, or the thread ends.
bool Tracer::CountSteps(size_t steps, Mark end) {
  size_t count = 0;
  Stop stop = Stop::kStep;
  while (true) {
    if (!InProgram(registers_.rip)) {
      if (count == steps) return true;
      ++count;
      outcome_.nested_length = count;
      if (SkipRepeated()) continue;
    }
    stop = Resume(PTRACE_SINGLESTEP, signal_);
    if (!alive_ || outcome_.crash_pc != 0) return false;
    if (stop == Stop::kMark && mark_ == end) return false;
  }
}

// Stops the operation of the prelude where the scenario wants it.
void Tracer::Prelude() {
  if (!trial.is_ours) {
    if (CountSteps(8, kEnd)) signal_ = kPreludeSignal;
    return;
  }
  if ((trial.scenario->flags & kTakeOver) != 0) {
    // In the middle of getting a slab, with the lists in disorder.
    const uintptr_t carve = FunctionNamed("slab5Carve");
    if (carve == 0 || RunToBreakpoint(carve) != Stop::kBreakpoint) return;
    signal_ = kPreludeSignal;
    return;
  }
  while (alive_ && outcome_.crash_pc == 0) {
    const uintptr_t pc = registers_.rip;
    if (Resume(PTRACE_SINGLESTEP, signal_) == Stop::kMark) return;
    // An add of a register to memory: the claim.
    if (InLibrary(pc) && (ByteAt(pc) & 0xf8) == 0x48 &&
        ByteAt(pc + 1) == 0x01 && ByteAt(pc + 2) < 0xc0) {
      break;
    }
  }
  for (int i = 0; i < trial.delay; ++i) {
    if (Resume(PTRACE_SINGLESTEP, signal_) == Stop::kMark) return;
  }
  signal_ = kPreludeSignal;
}

bool Tracer::RunToBoundary() {
  // The first run stops before the instruction that is tried; of later runs,
  // which may go another way, each second stops after as many instructions.
  if (runs_ > 1 && runs_ % 2 == 0 && boundary_.step < kMaxCounted) {
    return CountSteps(boundary_.step, kEnd);
  }
  for (unsigned visit = 1;; ++visit) {
    if (RunToBreakpoint(boundary_.pc) != Stop::kBreakpoint) return false;
    if (visit == boundary_.visit) return true;
    if (Resume(PTRACE_SINGLESTEP, signal_) == Stop::kMark) return false;
    if (!alive_) return false;
  }
}

void Tracer::ActAtBoundary() {
  outcome_.reached = true;
  if (trial.mode == Mode::kPark) {
    shared->request = kDoWithout;
    shared->requested.Set();
    constexpr int kSliceMs = 100;
    int left_ms = deadline_seconds * 1000;
    while (left_ms > 0 && !shared->peer_done.WaitFor(kSliceMs)) {
      left_ms = SomebodyEnded() ? 0 : left_ms - kSliceMs;
    }
    if (!shared->peer_done.IsSet() && !SomebodyEnded()) {
      snprintf(outcome_.message, sizeof outcome_.message,
               "the others wait for the stopped thread");
      kill(process_, SIGKILL);
    }
    return;
  }
  signal_ = kActSignal;
  if (trial.mode == Mode::kCrash) {
    // As if the next instruction had touched that address.
    siginfo_t fault{};
    fault.si_signo = signal_ = SIGSEGV;
    fault.si_code = SEGV_MAPERR;
    fault.si_addr = reinterpret_cast<void*>(kCrashAddress);
    ptrace(PTRACE_SETSIGINFO, thread_, nullptr, &fault);
  }
}

// Runs to the next system call of the library, which the thread has asked for
// then and the kernel not looked at. False at a mark, or if the thread ends.
bool Tracer::RunToCall() {
  while (alive_ && outcome_.crash_pc == 0) {
    const Stop stop = Resume(PTRACE_SYSCALL, signal_);
    if (stop == Stop::kMark) return false;
    if (stop != Stop::kCall) continue;
    if (InLibrary(registers_.rip)) return true;
    Resume(PTRACE_SYSCALL, 0);  // out of it
  }
  return false;
}

// From a mark to the mark kEnd, from call to call: those are the path. Of what
// is tried for its calls alone, most instructions are between them.
void Tracer::RecordCalls() {
  while (RunToCall()) {
    const Call call = CallIn(registers_);
    if (path_->length < Path::kCapacity) path_->pcs[path_->length++] = call.pc;
    RecordCall(call);
    Resume(PTRACE_SYSCALL, 0);
  }
  outcome_.reached = alive_ && outcome_.crash_pc == 0;
}

// Has the call that the thread has asked for fail.
void Tracer::MakeFail() {
  const user_regs_struct asked = registers_;
  const Instead instead = InsteadOf(CallIn(asked), trial.mode);
  Call none{};
  none.number = -1;
  Ask(instead.count == 0 ? none : instead.calls[0], &registers_);
  ptrace(PTRACE_SETREGS, thread_, nullptr, &registers_);
  Resume(PTRACE_SYSCALL, 0);
  for (size_t i = 1; i < instead.count; ++i) {
    // The same instruction once more.
    Ask(instead.calls[i], &registers_);
    registers_.rax = registers_.orig_rax;
    registers_.rip -= 2;
    ptrace(PTRACE_SETREGS, thread_, nullptr, &registers_);
    Resume(PTRACE_SYSCALL, 0);
    Resume(PTRACE_SYSCALL, 0);
  }
  registers_ = asked;
  registers_.rax = static_cast<unsigned long>(-trial.error);
  ptrace(PTRACE_SETREGS, thread_, nullptr, &registers_);
}

void Tracer::FailCalls() {
  for (unsigned count = 0; RunToCall(); ++count) {
    const Call call = CallIn(registers_);
    if (count < boundary_.step) {
      Resume(PTRACE_SYSCALL, 0);
      continue;
    }
    if (count == boundary_.step) {
      if (call.pc != boundary_.pc) return;
      outcome_.reached = true;
      failing_ = call.number;
    }
    if (call.number != failing_) {
      Resume(PTRACE_SYSCALL, 0);
      continue;
    }
    MakeFail();
    if (trial.mode != Mode::kDenied) return;
  }
}

// Interrupts the handler's malloc.
void Tracer::Nested() {
  if (CountSteps(nested_step_, kNestedEnd)) {
    outcome_.nested_reached = true;
    signal_ = kNestedSignal;
  }
}

void Tracer::AtMark() {
  switch (mark_) {
    case kTraced:
      ptrace(PTRACE_SETOPTIONS, thread_, nullptr,
             PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACESECCOMP);
      break;
    case kPrelude:
      Prelude();
      break;
    case kBegin:
      ++runs_;
      if (trial.mode == Mode::kRecord) {
        (trial.scenario->flags & kForCalls) != 0 ? RecordCalls() : Record();
      } else if (IsFailing(trial.mode)) {
        FailCalls();
      } else if (RunToBoundary()) {
        ActAtBoundary();
      }
      break;
    case kNestedBegin:
      Nested();
      break;
    default:
      break;
  }
}

Outcome Tracer::Trace() {
  process_ = fork();
  if (process_ == 0) RunTrial();
  struct sigaction action {};
  action.sa_handler = OnAlarm;
  sigaction(SIGALRM, &action, nullptr);
  const itimerval each_second = {{1, 0}, {1, 0}};
  silent_seconds = 0;
  setitimer(ITIMER_REAL, &each_second, nullptr);

  while (!ended_) {
    int status;
    const pid_t pid = waitpid(-1, &status, __WALL);
    if (pid < 0) {
      if (errno != EINTR) break;
      GiveUpIfSilent();
      continue;
    }
    silent_seconds = 0;
    if (!WIFSTOPPED(status)) {
      if (pid == process_) {
        end_status_ = status;
        ended_ = true;
      } else {
        alive_ = false;
      }
    } else {
      thread_ = pid;
      if (!AnswersForClock(status) && Classify(status) == Stop::kMark) AtMark();
      // A mark may have been reached while stepping: then it is not lost, as
      // only ends are passed over.
      if (alive_) ptrace(PTRACE_CONT, thread_, nullptr, signal_);
      signal_ = 0;
    }
    if (!alive_ && !ended_ && trial.mode == Mode::kKill && outcome_.reached &&
        !shared->peer_done.IsSet() && shared->request != kDoWithout) {
      shared->request = kDoWithout;
      shared->requested.Set();
    }
  }
  const itimerval none{};
  setitimer(ITIMER_REAL, &none, nullptr);
  while (waitpid(-1, nullptr, __WALL) > 0) {
  }

  outcome_.growth = shared->growth;
  outcome_.ok = false;
  if (outcome_.message[0] != '\0') return outcome_;
  if (shared->failed != 0) {
    snprintf(outcome_.message, sizeof outcome_.message, "%s", shared->message);
  } else if (WIFSIGNALED(end_status_)) {
    snprintf(outcome_.message, sizeof outcome_.message, "killed by signal %d",
             WTERMSIG(end_status_));
  } else if (WEXITSTATUS(end_status_) != 0) {
    snprintf(outcome_.message, sizeof outcome_.message, "exit status %d",
             WEXITSTATUS(end_status_));
  } else {
    outcome_.ok = true;
  }
  return outcome_;
}

}  // namespace

Outcome Run(const Trial& what, const Boundary& boundary, size_t nested_step,
            Path* path) {
  trial = what;
  *shared = Shared();
  if (path != nullptr) path->length = path->num_calls = 0;
  return Tracer(boundary, nested_step, path).Trace();
}

}  // namespace stepper
