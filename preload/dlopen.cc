// dlopen, so that RTLD_DEEPBIND does not lead past this library.
//
// With that flag a library's malloc is the C library's, whatever was preloaded:
// the program then has two heaps, and blocks of each are freed by the other.
// Without it the library's malloc is ours. So the flag is taken off, and the C
// library's dlopen does the rest. The price is that all other names of such a
// library bind as they do without the flag: to the program's first.
//
// The C library looks at its return address to learn which library calls. That
// decides the namespace and the RUNPATH by which the file is found. So it must
// not return here: the last step is a jump. No compiler promises one, in builds
// without optimisation least of all. That is why these few instructions are
// written by hand.
#include "preload/dlopen.h"

#include <dlfcn.h>

#include "core/base/atomics.h"
#include "preload/interpose.h"

namespace {

bool keep_deepbind;

using Dlopen = void*(const char*, int);

void* NoDlopen(const char*, int) { return nullptr; }

// The dlopen behind ours. It is looked up when it is first needed, which is
// before our constructor if a library with an earlier one opens another. Two
// threads may do that at the same time, and find the same.
Dlopen* NextDlopen() {
  static aomalloc::AtomicWord next;
  // Relaxed: what it leads to was there before this thread could call.
  auto* found = reinterpret_cast<Dlopen*>(aomalloc::LoadRelaxed(&next));
  if (found != nullptr) return found;
  found = reinterpret_cast<Dlopen*>(dlsym(RTLD_NEXT, "dlopen"));
  if (found == nullptr) return NoDlopen;
  aomalloc::StoreRelaxed(&next, reinterpret_cast<AO_t>(found));
  return found;
}

}  // namespace

// Two words, which functions return in two registers.
struct DlopenCall {
  Dlopen* function;
  long mode;
};

// Which function dlopen is to jump to, with which mode. Called by the code
// below only.
extern "C" __attribute__((used, visibility("hidden"))) DlopenCall
aomalloc_dlopen_call(int mode) {
  if (!keep_deepbind && aomalloc::preload::MallocIsOurs()) {
    mode &= ~RTLD_DEEPBIND;
  }
  return {NextDlopen(), mode};
}

// POSIX, and glibc's dlopen(3). void* dlopen(const char* file, int mode)
__asm__(
    ".pushsection .text\n"
    ".globl dlopen\n"
    ".type dlopen, %function\n"
    ".balign 16\n"
    "dlopen:\n"
    ".cfi_startproc\n"
#if defined(__x86_64__)
    "endbr64\n"
    "pushq %rdi\n"  // keeps `file`, and aligns the stack
    ".cfi_adjust_cfa_offset 8\n"
    "movl %esi, %edi\n"
    "call aomalloc_dlopen_call\n"
    "popq %rdi\n"
    ".cfi_adjust_cfa_offset -8\n"
    "movl %edx, %esi\n"
    "jmpq *%rax\n"
#elif defined(__aarch64__)
    "hint #34\n"  // bti c: the target of an indirect call
    "stp x29, x30, [sp, #-32]!\n"
    ".cfi_def_cfa_offset 32\n"
    ".cfi_offset 29, -32\n"
    ".cfi_offset 30, -24\n"
    "mov x29, sp\n"
    "str x0, [sp, #16]\n"
    "mov w0, w1\n"
    "bl aomalloc_dlopen_call\n"
    "mov x16, x0\n"  // from this register a jump may lead to any function
    "ldr x0, [sp, #16]\n"
    "ldp x29, x30, [sp], #32\n"
    ".cfi_restore 30\n"
    ".cfi_restore 29\n"
    ".cfi_def_cfa_offset 0\n"
    "br x16\n"
#else
#error "aomalloc: no dlopen for this machine yet (preload/dlopen.cc)"
#endif
    ".cfi_endproc\n"
    ".size dlopen, . - dlopen\n"
    ".popsection\n");

void aomalloc::preload::KeepDeepbind() { keep_deepbind = true; }
