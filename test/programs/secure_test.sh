#!/bin/bash
# A setuid program into which the system's administrator has the library loaded
# (/etc/ld.so.preload): no variable of its caller is honoured, nothing is said,
# of misuse neither, and nothing is written.  In a chroot, which has an /etc of
# its own.
source test/programs/common.sh

root=$TEST_TMPDIR/root
mkdir -p "$root/etc" "$root/tmp"
chmod 1777 "$root/tmp"
cp "$helpers/secure" "$root/plain"
cp "$helpers/secure" "$root/setuid"
chmod 4755 "$root/setuid"
for file in $(ldd "$helpers/secure" | grep -oE '/[^ ]+'); do
  mkdir -p "$root${file%/*}"
  cp -L "$file" "$root$file"
done

# call NAME PROGRAM [ASSIGNMENT...]: PROGRAM of the chroot, called by a user who
# is nobody there, with $argument if there is one; sets output, errors, status.
argument=
call() {
  run "$1" env -i "${@:3}" \
    /usr/sbin/chroot --userspec=65534:65534 "$root" "/$2" ${argument:+"$argument"}
  output=$(<"$TEST_TMPDIR/$1/stdout")
  errors=$(<"$TEST_TMPDIR/$1/stderr")
  status=$(<"$TEST_TMPDIR/$1/status")
}

# Whether such a program can be had here at all.
call 'without the library' setuid
if [[ $output != 'AT_SECURE 1, 64 blocks' ]]; then
  not_here "no setuid program in a chroot (it takes root, and a file system" \
    "that is not mounted nosuid): $output $errors"
fi

cp "$library" "$root/libaomalloc.so"
echo /libaomalloc.so >"$root/etc/ld.so.preload"

# A program without more rights: it is told of the variables.
call 'plain, 1' plain AO_MALLOC_ENABLE_MMAP=1
[[ $output == 'AT_SECURE 0, 64 blocks' && ! $errors ]] ||
  fail "not setuid: $output $errors"
call 'plain, maybe' plain AO_MALLOC_ENABLE_MMAP=maybe
[[ $errors == *AO_MALLOC_ENABLE_MMAP* ]] || fail 'not setuid: nothing is said'

# Each variable that the library knows.
call 'setuid' setuid
[[ $output == 'AT_SECURE 1, '* && $output != *' 64 blocks' && ! $errors ]] ||
  fail "setuid: $output $errors"
expected=$output
mapfile -t variables < <(grep -aoE 'AO_MALLOC_[A-Z_]+' "$library" | sort -u)
[[ " ${variables[*]} " == *' AO_MALLOC_ENABLE_MMAP '* ]] ||
  fail "the library knows ${variables[*]}"
for variable in "${variables[@]}"; do
  for value in 1 16M maybe /tmp/file; do
    call "setuid, $variable=${value//\//:}" setuid "$variable=$value"
    [[ $output == "$expected" ]] || fail "$variable=$value is honoured: $output"
    [[ ! $errors ]] || fail "$variable=$value: $errors"
  done
done
[[ ! $(ls -A "$root/tmp") ]] || fail 'something was written'

# Misuse: the program is ended all the same.
for name in libaomalloc libaomalloc-hardened; do
  cp "${library%/*}/$name.so" "$root/libaomalloc.so"
  for argument in twice foreign use size written; do
    call "$name, plain, $argument" plain
    [[ $status == 134 && $errors == 'aomalloc: '* && $errors != *$'\n'* ]] ||
      fail "$name, $argument, not setuid: status $status: $errors"
    call "$name, setuid, $argument" setuid
    [[ $status == 134 && ! $errors ]] ||
      fail "$name, $argument: status $status: $errors"
  done
done
echo "not honoured: ${variables[*]}"
