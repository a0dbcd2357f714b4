#include "preload/reports.h"

#include <signal.h>
#include <stddef.h>

#include "core/atomics.h"
#include "core/heap_report.h"
#include "core/os.h"
#include "core/report.h"
#include "core/statistics.h"
#include "preload/path.h"
#include "preload/profiles.h"
#include "preload/values.h"

namespace aomalloc::reports {
namespace {

using preload::IsWord;

preload::Path path;  // empty: stderr
// Standard error as it was at the start: programs close theirs before the
// report at exit is due. And which file it was, should they close this too.
int error_descriptor = 2;
os::FileId error_file;
bool at_exit;
bool as_json;

// Apart, so that its stack is given back before the report is written.
[[gnu::noinline]] int Open() {
  if (path.IsEmpty()) {
    return os::FileOf(error_descriptor) == error_file ? error_descriptor : 2;
  }
  return path.Open(os::OpenToAppend);
}

struct SignalName {
  const char* name;
  int number;
};
// Those that programs leave to their users.
constexpr SignalName kSignals[] = {
    {"hup", SIGHUP},   {"quit", SIGQUIT},   {"usr1", SIGUSR1},
    {"usr2", SIGUSR2}, {"alrm", SIGALRM},   {"vtalrm", SIGVTALRM},
    {"prof", SIGPROF}, {"winch", SIGWINCH}, {"io", SIGIO},
    {"urg", SIGURG},   {"pwr", SIGPWR},
};

// The signal of a name, with or without SIG, or a number; 0 if there is none.
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
  profiles::WriteSnapshot();
}

// exit() runs this after the program's own functions and destructors.
__attribute__((destructor)) void AtExit() {
  if (at_exit) Write("at exit");
}

}  // namespace

bool SetStats(const char* value) {
  if (IsWord(value, "0")) return true;
  if (!IsWord(value, "1") && !path.Set(value)) return false;
  at_exit = true;
  if (path.IsEmpty()) {
    error_descriptor = os::Duplicate(2);
    error_file = os::FileOf(error_descriptor);
  }
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
  // The program need not notice: its system calls go on, and its own stack for
  // handlers is used if it has one.
  action.sa_flags = SA_RESTART | SA_ONSTACK;
  sigfillset(&action.sa_mask);
  const int signal = ParseSignal(value);
  if (signal == 0 || sigaction(signal, &action, nullptr) != 0) return false;
  statistics::Watch();
  return true;
}

void Write(const char* occasion) {
  const int descriptor = Open();
  if (descriptor < 0) {
    return Line()
        .Text("AO_MALLOC_STATS=")
        .Text(path.text())
        .Text(": cannot be opened")
        .Write();
  }
  {
    Output out(descriptor);
    as_json ? heap_report::WriteJson(&out, occasion)
            : heap_report::WriteText(&out, occasion);
  }
  if (!path.IsEmpty()) os::Close(descriptor);
}

}  // namespace aomalloc::reports
