#include "test/stepper/stage.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/wait.h>

namespace stepper {
namespace {
constexpr char kStage[] = "AOMALLOC_STEPPER_STAGE";
}  // namespace

const char* Stage() { return getenv(kStage); }

bool RunStage(const char* library, const char* env, char** argv) {
  const pid_t child = fork();
  if (child == 0) {
    char path[4096];
    if (strcmp(library, "none") != 0) {
      if (realpath(library, path) == nullptr) {
        Print("FAILED: no library %s\n", library);
        _exit(2);
      }
      setenv("LD_PRELOAD", path, 1);
    }
    setenv("AO_MALLOC_ENABLE_MMAP", strcmp(env, "static") == 0 ? "0" : "1", 1);
    if (strcmp(env, "huge") == 0) setenv("AO_MALLOC_HUGE_PAGES", "always", 1);
    const bool every = strcmp(env, "profile") == 0;
    if (every || strcmp(env, "rations") == 0) {
      // What stdin leads to: snapshots at crashes are no files of their own.
      dup2(open("/dev/null", O_RDWR), STDIN_FILENO);
      setenv("AO_MALLOC_PROFILE", "/dev/fd/0", 1);
      setenv("AO_MALLOC_PROFILE_RATE", every ? "1" : "255T", 1);
    }
    // Room for what may be lost when an operation is torn off sixty times.
    setenv("AO_MALLOC_STATIC_HEAP", "4M", 1);
    setenv(kStage, env, 1);
    personality(ADDR_NO_RANDOMIZE);  // so that a failure can be looked at again
    execv("/proc/self/exe", argv);
    _exit(2);
  }
  int status;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void* MapShared(size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) abort();
  return memory;
}

}  // namespace stepper
