#include "preload/report_output.h"

#include <signal.h>
#include <stddef.h>

#include "core/base/os.h"
#include "core/report/heap_report.h"
#include "core/report/statistics.h"
#include "preload/path.h"
#include "preload/profile_output.h"
#include "preload/values.h"

namespace aomalloc::report_output {
namespace {

using preload::IsWord;

preload::Path path;
bool at_exit;
bool as_json;

// Not inlined, so that its stack is given back before the report is written.
[[gnu::noinline]] int Open() {
  return path.Open("AO_MALLOC_STATS", os::OpenToAppend);
}

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

// The signal that `value` names, with or without "SIG", or by its number. 0 if
// there is none.
int ParseSignal(const char* value) {
  const auto is = [value](int i, char c) {
    return preload::ToLower(value[i]) == c;
  };
  if (is(0, 's') && is(1, 'i') && is(2, 'g')) value += 3;
  for (const SignalName& s : kSignals) {
    if (IsWord(value, s.name)) return s.number;
  }
  int number = 0;
  for (; *value >= '0' && *value <= '9' && number < 100; ++value) {
    number = number * 10 + (*value - '0');
  }
  return *value == '\0' && number < 65 ? number : 0;
}

void OnDumpSignal(int) {
  Write("by signal");
  profile_output::WriteSnapshot();
}

// exit() runs this after the program's own functions and destructors.
__attribute__((destructor)) void AtExit() {
  if (at_exit) Write("at exit");
}

}  // namespace

bool SetStats(const char* value) {
  if (IsWord(value, "0")) return true;
  if (IsWord(value, "1")) {
    path.SetDescriptor(2);
  } else if (!path.Set(value)) {
    return false;
  }
  at_exit = true;
  statistics::Watch();
  return true;
}

bool SetFormat(const char* value) {
  as_json = IsWord(value, "json");
  return as_json || IsWord(value, "text");
}

bool SetDumpSignal(const char* value) {
  struct sigaction action {};
  action.sa_handler = OnDumpSignal;
  // The program need not notice the signal. Its system calls are restarted. If
  // it has a stack for handlers, this handler runs there.
  action.sa_flags = SA_RESTART | SA_ONSTACK;
  sigfillset(&action.sa_mask);
  const int signal = ParseSignal(value);
  if (signal == 0 || sigaction(signal, &action, nullptr) != 0) return false;
  if (!path.IsSet()) path.SetDescriptor(2);
  statistics::Watch();
  return true;
}

void Write(const char* occasion) {
  const int descriptor = Open();
  if (descriptor < 0) return;
  {
    Output out(descriptor);
    as_json ? heap_report::WriteJson(&out, occasion)
            : heap_report::WriteText(&out, occasion);
  }
  path.Close(descriptor);
}

}  // namespace aomalloc::report_output
