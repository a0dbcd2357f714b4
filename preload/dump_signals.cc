#include "preload/dump_signals.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/syscall.h>

#include "core/base/atomics.h"
#include "core/base/os.h"
#include "core/base/syscall.h"
#include "preload/profile_output.h"
#include "preload/report_output.h"
#include "preload/values.h"

namespace aomalloc::dump_signals {
namespace {

struct SignalName {
  const char* name;
  int number;
};
// The signals that programs leave to their users.
constexpr SignalName kSignals[] = {
    {"hup", SIGHUP},   {"quit", SIGQUIT},   {"usr1", SIGUSR1},
    {"usr2", SIGUSR2}, {"alrm", SIGALRM},   {"vtalrm", SIGVTALRM},
    {"prof", SIGPROF}, {"winch", SIGWINCH}, {"io", SIGIO},
    {"urg", SIGURG},   {"pwr", SIGPWR},
};

// A signal that says that the program is at fault.
struct Fault {
  const char* name;
  int number;
  const char* occasion;
  os::SignalAction before;  // what the signal leads to without this library
};
Fault faults[] = {
    {"segv", SIGSEGV, "at SIGSEGV", {}}, {"bus", SIGBUS, "at SIGBUS", {}},
    {"ill", SIGILL, "at SIGILL", {}},    {"fpe", SIGFPE, "at SIGFPE", {}},
    {"abrt", SIGABRT, "at SIGABRT", {}}, {"trap", SIGTRAP, "at SIGTRAP", {}},
    {"sys", SIGSYS, "at SIGSYS", {}},
};

Fault* FaultOf(int signal) {
  for (Fault& fault : faults) {
    if (fault.number == signal) return &fault;
  }
  return nullptr;
}

constexpr size_t kMaxName = 16;

// The signal of that name, with or without "SIG", or of that number. 0 if there
// is none.
int ParseSignal(const char* name) {
  const auto is = [name](int i, char c) {
    return preload::ToLower(name[i]) == c;
  };
  if (is(0, 's') && is(1, 'i') && is(2, 'g')) name += 3;
  for (const SignalName& s : kSignals) {
    if (preload::IsWord(name, s.name)) return s.number;
  }
  for (const Fault& f : faults) {
    if (preload::IsWord(name, f.name)) return f.number;
  }
  int number = 0;
  for (; *name >= '0' && *name <= '9' && number < 100; ++name) {
    number = number * 10 + (*name - '0');
  }
  return *name == '\0' && number < 65 ? number : 0;
}

// The signals of a list, a bit for each, from bit 0 for signal 1. 0 if it is
// invalid.
size_t ParseSignals(const char* list) {
  size_t signals = 0;
  for (;; ++list) {
    char name[kMaxName];
    size_t length = 0;
    for (; *list != '\0' && *list != ','; ++list) {
      if (length == kMaxName - 1) return 0;
      name[length++] = *list;
    }
    name[length] = '\0';
    const int signal = ParseSignal(name);
    struct sigaction action;
    // The C library keeps some to itself, and says so.
    if (signal == 0 || signal == SIGKILL || signal == SIGSTOP ||
        sigaction(signal, nullptr, &action) != 0) {
      return 0;
    }
    signals |= size_t{1} << (signal - 1);
    if (*list == '\0') return signals;
  }
}

void OnDumpSignal(int) {
  report_output::Write("by signal");
  profile_output::WriteSnapshot();
}

// Sends the thread the signal that it is handling, which is blocked until the
// handler returns. Then it comes as it came: at the same instruction, with the
// same information.
void SendAgain(int signal, const siginfo_t* info) {
  const long process = os::Syscall(SYS_getpid);
  const long thread = os::Syscall(SYS_gettid);
  if (os::Syscall(SYS_rt_tgsigqueueinfo, process, thread, signal,
                  os::AsLong(info)) != 0) {
    os::Syscall(SYS_tgkill, process, thread, signal);
  }
}

// So many faults may be reported. A filter may pretend that a signal leads
// elsewhere from now on, and then the handler would run for ever.
constexpr AO_t kMostFaults = 64;
AtomicWord reported;

void OnFault(int signal, siginfo_t* info, void*) {
  const int error = errno;
  if (CountRelaxed(&reported) >= kMostFaults) {
    os::Syscall(SYS_exit_group, 128 + signal);
  }
  const Fault* fault = FaultOf(signal);
  if (signal != SIGABRT || !report_output::WasMisuse()) {
    report_output::Write(fault->occasion);
  }
  profile_output::WriteSnapshot();
  if (!os::SetAction(signal, fault->before)) {
    // A filter refuses it. The handler would run for ever.
    os::Syscall(SYS_exit_group, 128 + signal);
  }
  SendAgain(signal, info);
  errno = error;
}

bool Handle(int signal) {
  struct sigaction action {};
  Fault* fault = FaultOf(signal);
  // The program need not notice the signal. Its system calls are restarted. If
  // it has a stack for handlers, this handler runs there.
  action.sa_flags = SA_RESTART | SA_ONSTACK;
  if (fault == nullptr) {
    action.sa_handler = OnDumpSignal;
  } else {
    action.sa_sigaction = OnFault;
    action.sa_flags |= SA_SIGINFO;
    if (!os::GetAction(signal, &fault->before)) return false;
  }
  sigfillset(&action.sa_mask);
  return sigaction(signal, &action, nullptr) == 0;
}

}  // namespace

bool Set(const char* value) {
  const size_t signals = ParseSignals(value);
  if (signals == 0) return false;
  report_output::Expect();
  for (int signal = 1; signal < 65; ++signal) {
    if ((signals >> (signal - 1) & 1) != 0 && !Handle(signal)) return false;
  }
  return true;
}

}  // namespace aomalloc::dump_signals
