# shellcheck shell=bash
# The tests in malloc/ of the C library's source that do not look inside its heap:
# each is one program, built with those of its support functions that compile
# outside its tree.
about="the C library's own tests of malloc that keep out of its heap's insides"
needs=(gcc=gcc)
from=glibc

# Left out are tests of the C library's tunables, hooks, caches and links, of what
# it notices when a word before a block is overwritten, of its internal data types,
# and of its static libraries.
programs=(mallocbug tst-calloc tst-free-errno tst-mallinfo2 tst-malloc
  tst-malloc-fork-deadlock tst-malloc-stats-cancellation
  tst-malloc-thread-exit tst-malloc-thread-fail tst-malloc-too-large
  tst-malloc_info tst-mallocfork tst-mallocfork2
  tst-mallocfork3 tst-mallopt tst-memalign tst-obstack tst-posix_memalign
  tst-pvalloc tst-pvalloc-fortify tst-realloc tst-reallocarray tst-tcfree1
  tst-tcfree2 tst-tcfree3 tst-trim1 tst-valloc)

explained='
tst-malloc-stats-cancellation: looks for the words "max mmap bytes" in what malloc_stats prints
tst-mallopt: wants M_PERTURB to be honoured, which fills blocks of the heap that the C library has
'

compile=(gcc -D_GNU_SOURCE -DTIMEOUTFACTOR=4 -include limits.h -w -O2
  -fno-builtin -I ../headers -I . -I ../support)

prepare() {
  mkdir headers
  cp include/{array_length,intprops,libc-diag}.h headers
  : >headers/config.h
  ln -s ../support headers/
  local file objects=()
  cd support
  for file in check check_* descriptors next_to_fault support_capture_subprocess \
    support_capture_subprocess_check support_record_failure support_test_main \
    support_test_verify_impl support_format_* support_quote_* support_shared* \
    support_subprocess support_stat_nanoseconds support_test_compare_* \
    support_write_file_string temp_file timespec xasprintf ignore_stderr \
    oom_error set_fortify_handler support_wait_for_thread_exit \
    support_set_small_thread_stack_size write_message delayed_exit x[a-z]*; do
    file=${file%.c}
    [[ -e $file.c ]] || continue
    if "${compile[@]}" -c "$file.c" -o "$file.o" 2>/dev/null; then
      objects+=("$file.o")
    fi
  done
  echo 'const char support_objdir_root[] = "/";' >paths.c
  "${compile[@]}" -c paths.c
  ar rc ../libsupport.a paths.o "${objects[@]}"
  cd ../malloc
  for file in "${programs[@]}"; do
    "${compile[@]}" "$file.c" -o "../$file" ../libsupport.a
  done
}

tests() {
  local program status
  for program in "${programs[@]}"; do
    status=0
    "./$program" || status=$?
    echo "$program: status $status"
  done
}

outcomes() {
  sed -nE 's/^([a-z0-9_-]+): status (.*)/\2 \1/p' |
    sed 's/^0 /passed /; s/^77 /skipped /; s/^[0-9]* /failed /'
}
