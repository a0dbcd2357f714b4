#include "test/abandoned_operations/common.h"

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <initializer_list>

namespace abandon {
namespace {

// vsnprintf of simple conversions neither allocates nor locks in glibc.
void PrintLine(const char* prefix, const char* format, va_list arguments) {
  char line[500];
  int length = snprintf(line, sizeof line, "%s", prefix);
  length +=
      vsnprintf(line + length, sizeof line - 1 - static_cast<size_t>(length),
                format, arguments);
  if (length > static_cast<int>(sizeof line) - 2) length = sizeof line - 2;
  line[length++] = '\n';
  if (write(1, line, static_cast<size_t>(length)) != length) _exit(2);
}

constexpr unsigned kSilentSeconds = 60;
const volatile long* watched;
const char* watched_name;

void OnFatal(int signal) {
  Fail("%s after %ld %s (signal %d)",
       signal == SIGALRM ? "no progress" : "crashed", *watched, watched_name,
       signal);
}

unsigned char PatternAt(unsigned char seed, size_t i) {
  return static_cast<unsigned char>(seed + i * 7 + (i >> 8));
}

}  // namespace

void Print(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  PrintLine("", format, arguments);
  va_end(arguments);
}

void Fail(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  PrintLine("FAILED: ", format, arguments);
  va_end(arguments);
  _exit(1);
}

void Watch(const volatile long* count, const char* of_what) {
  watched = count;
  watched_name = of_what;
  struct sigaction action {};
  action.sa_handler = OnFatal;
  action.sa_flags = SA_ONSTACK | SA_RESETHAND;
  for (const int signal : {SIGALRM, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT}) {
    sigaction(signal, &action, nullptr);
  }
  alarm(kSilentSeconds);
}

void Held::Hold(void* block, size_t size, Random* random) {
  if (block == nullptr) Fail("no memory for %zu bytes", size);
  block_ = static_cast<unsigned char*>(block);
  size_ = size;
  seed_ = static_cast<unsigned char>(random->Next());
  for (size_t i = 0; i < filled(); ++i) block_[i] = PatternAt(seed_, i);
}

void* Held::LetGo() {
  for (size_t i = 0; i < filled(); ++i) {
    if (block_[i] != PatternAt(seed_, i)) {
      Fail("a block of %zu bytes at %p was overwritten at %zu", size_,
           static_cast<void*>(block_), i);
    }
  }
  void* block = block_;
  block_ = nullptr;
  return block;
}

size_t ResidentBytes() {
  // The number in /proc/self/statm may be off by what each processor has yet
  // to report.
  static char text[4096];
  const int file = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
  const ssize_t length = read(file, text, sizeof text - 1);
  close(file);
  if (length < 0) Fail("no /proc/self/smaps_rollup");
  text[length] = '\0';
  const char* rss = strstr(text, "Rss:");
  if (rss == nullptr) Fail("no Rss in /proc/self/smaps_rollup");
  return static_cast<size_t>(atol(rss + 4)) * 1024;
}

void ForbidHugePages() {
  if (prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) != 0) Fail("PR_SET_THP_DISABLE");
}

size_t HeapBytes() {
  const struct mallinfo2 info = mallinfo2();
  return info.arena + info.hblkhd;
}

bool IsMapped() {
  const char* value = getenv("AO_MALLOC_ENABLE_MMAP");
  return value != nullptr && strcmp(value, "1") == 0;
}

void InChild(void (*run)()) {
  const pid_t child = fork();
  if (child == 0) {
    run();
    _exit(0);
  }
  int status;
  if (child < 0 || waitpid(child, &status, 0) != child) Fail("no child");
  if (!WIFEXITED(status)) Fail("ended with status %d", status);
  if (WEXITSTATUS(status) != 0) _exit(1);
}

void* MapShared(size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) Fail("mmap of %zu bytes", bytes);
  return memory;
}

}  // namespace abandon
