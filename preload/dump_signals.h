// AO_MALLOC_DUMP_SIGNAL: the signals by which a program is told to report.
//
// There are two kinds. By most, a report is all that happens: the program goes
// on. The others say that the program is at fault (SIGSEGV, SIGABRT and so on):
// after the report the same signal comes again, as it was, to what it would
// have led to without this library. So a core dump shows the fault, and not a
// handler.
//
// Who touches what: the constructor of the library installs the handlers. They
// only read what it has written.
//
// Interruption: all signals are blocked while a handler runs. A fault in it
// ends the process at once, by that signal, as the kernel has it: there is no
// report about a report. If several threads are at fault at the same time, each
// writes its report, and the first that is through ends the process. If the
// handler is abandoned, the report is cut off.
#ifndef AOMALLOC_PRELOAD_DUMP_SIGNALS_H_
#define AOMALLOC_PRELOAD_DUMP_SIGNALS_H_

namespace aomalloc::dump_signals {

// The value of the variable: names or numbers of signals, with commas between
// them. False if one is invalid; then none is handled. To be called once, after
// report_output::SetStats.
bool Set(const char* value);

}  // namespace aomalloc::dump_signals

#endif  // AOMALLOC_PRELOAD_DUMP_SIGNALS_H_
