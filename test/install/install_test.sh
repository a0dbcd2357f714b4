#!/bin/bash
# Installs into a fresh root, builds programs against what is there, in C and in
# C++, by pkg-config and by CMake, runs the command aomalloc, uninstalls; makes the
# Debian package and has it checked.
source test/programs/common.sh
need gcc g++ pkg-config cmake lintian dpkg-deb
scripts=$(dirname "$(readlink -f scripts/install)")

# Bazel cannot be called while it runs this test: the script must not need it.
(
  # shellcheck source=scripts/lib.sh
  source "$scripts/lib.sh"
  up_to_date
) || fail 'the library is not up to date; scripts/build builds it'

root=$TEST_TMPDIR/root
mkdir -p "$work" "$root"
cd "$work"
"$scripts/install" --prefix "$root" >list
[[ $(wc -l <list) -ge 11 ]] || fail "little was installed: $(<list)"
xargs ls -l <list >/dev/null
! grep -rI '@[A-Z]*@' "$root" || fail 'something was not filled in'

# The same in both languages: AO_malloc works; malloc is ours, or is not.
cat >program.c <<'END'
#include <atomic_ops_malloc.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(void) {
  Dl_info info;
  char *block;
  AO_malloc_enable_mmap();
  block = (char *)AO_malloc(10000000);
  if (block == NULL) return 1;
  memset(block, 1, 10000000);
  AO_free(block);
  free(malloc(10));
  if (dladdr(dlsym(RTLD_DEFAULT, "malloc"), &info) == 0) return 2;
  puts(strstr(info.dli_fname, "libaomalloc") != NULL ? "ours" : "not ours");
  return 0;
}
END
{ echo '#define _GNU_SOURCE'; cat program.c; } >c.c
cp c.c cc.cc
sed -i 1d cc.cc # g++ defines it itself

# expect ANSWER PROGRAM
expect() {
  local answer
  answer=$(LD_LIBRARY_PATH=$root/lib "$2") || fail "$2: status $?"
  [[ $answer == "$1" ]] || fail "$2: malloc is $answer, not $1"
}

export PKG_CONFIG_PATH=$root/lib/pkgconfig
# shellcheck disable=SC2046
for language in c cc; do
  compiler=gcc
  [[ $language == c ]] || compiler=g++
  $compiler $(pkg-config --cflags aomalloc) $language.$language -o dynamic \
    $(pkg-config --libs aomalloc) -ldl
  expect ours ./dynamic
  $compiler $(pkg-config --cflags aomalloc-static) $language.$language \
    -o static $(pkg-config --libs aomalloc-static) -ldl
  expect 'not ours' ./static
done
pkg-config --exact-version="$(sed -n 's/^VERSION=//p' "$scripts/lib.sh")" aomalloc ||
  fail 'pkg-config has another version'

cat >CMakeLists.txt <<'END'
cmake_minimum_required(VERSION 3.13)
project(user C CXX)
find_package(aomalloc 1.0 REQUIRED)
foreach(language c cc)
  add_executable(dynamic_${language} ${language}.${language})
  target_link_libraries(dynamic_${language} aomalloc::aomalloc ${CMAKE_DL_LIBS})
  add_executable(static_${language} ${language}.${language})
  target_link_libraries(static_${language} aomalloc::static ${CMAKE_DL_LIBS})
endforeach()
END
{
  cmake -S . -B build -DCMAKE_PREFIX_PATH="$root"
  cmake --build build
} >cmake.log 2>&1 || fail "cmake: $(tail -n 30 cmake.log)"
for language in c cc; do
  expect ours build/dynamic_$language
  expect 'not ours' build/static_$language
done

# The command.
command=$root/bin/aomalloc
# try STATUS [ARG]...: sets output and errors.
try() {
  local status=0
  output=$("$command" "${@:2}" 2>errors) || status=$?
  errors=$(<errors)
  [[ $status == "$1" ]] || fail "aomalloc ${*:2}: status $status, not $1: $errors"
}
cat >show.sh <<'END'
echo "$AO_MALLOC_ENABLE_MMAP ${AO_MALLOC_STATS-} ${AO_MALLOC_LIMIT-} ${LD_PRELOAD##*/}"
END
try 0 sh show.sh
[[ $output == '1   libaomalloc.so' && ! $errors ]] || fail "plain: $output; $errors"
try 0 --static --limit 64M --stats=/dev/null sh show.sh
[[ $output == '0 /dev/null 64M libaomalloc.so' ]] || fail "options: $output"
try 0 --hardened sh show.sh
[[ $output == '1   libaomalloc-hardened.so' ]] || fail "--hardened: $output"
try 0 --limit=1G -- sh show.sh
[[ $output == '1  1G libaomalloc.so' ]] || fail "--limit=: $output"
try 0 --stats ls
[[ $errors == 'aomalloc: the heap of process '* ]] || fail "--stats: $errors"
try 0 --help
[[ $output == 'usage: aomalloc '* ]] || fail "--help: $output"
try 0 --version
[[ $output == "aomalloc "[0-9]* ]] || fail "--version: $output"
try 42 sh -c 'exit 42'
try 127 no-such-program
[[ $errors == *no-such-program* ]] || fail "not named: $errors"

# What looks into processes; and a program of the same name.
sleep 1000 &
sleeper=$!
LD_PRELOAD=$root/lib/libaomalloc.so AO_MALLOC_ENABLE_MMAP=1 \
  /usr/bin/python3 -Ic 'import time; print("ready", flush=True); time.sleep(1000)' >ready &
watched=$!
until grep -q ready ready; do sleep 0.05; done
try 0 top --once "$watched"
[[ $output == "aomalloc top: process $watched (python3"*'), mmap'* ]] || fail "top: $output"
try 0 report "$watched"
[[ $output == *'in live blocks'* ]] || fail "report: $output"
try 0 what "$watched" 0x1000
[[ $output == '0x1000: not an address of aomalloc' ]] || fail "what: $output"
try 1 top --once "$sleeper"
[[ $errors == "aomalloc: process $sleeper (sleep) has no aomalloc" ]] || fail "sleep: $errors"
kill "$sleeper" "$watched"
[[ ! $(find "$root" -name __pycache__) ]] || fail 'compiled Python is left beside it'
mkdir bin
# shellcheck disable=SC2016
printf '#!/bin/sh\necho "a program, ${LD_PRELOAD##*/}"\n' >bin/top
chmod +x bin/top
# shellcheck disable=SC2031
PATH=$PWD/bin:$PATH try 0 -- top
[[ $output == 'a program, libaomalloc.so' ]] || fail "a program called top: $output"

for wrong in --no-such-option --limit ''; do
  # shellcheck disable=SC2086
  try 2 $wrong
  [[ $errors == *usage:* ]] || fail "no usage after '$wrong'"
done

# The completion offers what --help lists, and no more.
(
  # shellcheck source=scripts/installed/completion.bash
  source "$root/share/bash-completion/completions/aomalloc"
  COMP_WORDS=(aomalloc --) COMP_CWORD=1
  _aomalloc
  printf '%s\n' "${COMPREPLY[@]}" | sort >offered
)
"$command" --help | sed -nE 's/^  (--[a-z]+).*/\1/p' | sort >listed
diff offered listed || fail 'completion and --help differ'

"$scripts/install" --prefix "$root" --uninstall
left=$(find "$root" -type f -o -path "*/include/aomalloc" -o -path "*/cmake/aomalloc" \
  -o -path "*/share/aomalloc")
[[ ! $left ]] || fail "left behind: $left"

package=$("$scripts/package" . 2>package.log) || fail "scripts/package: $(<package.log)"
lintian --fail-on error,warning "$package" ||
  fail 'lintian has something to say'
dpkg-deb -x "$package" unpacked
for file in usr/bin/aomalloc usr/lib/*/libaomalloc.so usr/lib/*/libaomalloc-hardened.so usr/share/man/man1/aomalloc.1.gz \
  usr/share/gdb/auto-load/usr/lib/*/libaomalloc{,-hardened}.so-gdb.py \
  usr/share/aomalloc/__main__.py usr/share/aomalloc/aomalloc/screen.py \
  usr/include/aomalloc/atomic_ops_malloc.h usr/lib/*/pkgconfig/aomalloc.pc; do
  # shellcheck disable=SC2086
  ls unpacked/$file >/dev/null || fail "the package lacks $file"
done
