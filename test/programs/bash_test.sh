#!/bin/bash
# bash: arrays, strings, pipes, substitutions, background jobs, traps.
source test/programs/common.sh
need bash

cat >"$TEST_TMPDIR/session" <<'END'
declare -A squares
for ((i = 0; i < 20000; i++)); do squares[$i]=$((i * i)); done
echo "${#squares[@]} squares, the last is ${squares[19999]}"

text=
for ((i = 0; i < 3000; i++)); do text+="line $i of the text;"; done
echo "${#text} characters, ${text//line/}" | sha256sum
IFS=';' read -ra lines <<<"$text"
printf '%s\n' "${lines[@]: -3}"

mapfile -t numbers < <(seq 50000)
echo "${#numbers[@]} numbers, the last is ${numbers[-1]}"

for i in {1..30}; do
  (echo "subshell $i: $(echo "$i" | { read -r n; echo $((n + 1)); })")
done

for i in {1..8}; do
  { : "${numbers[@]/1/one}"; exit "$i"; } &
  jobs[$i]=$!
done
for i in {1..8}; do
  wait "${jobs[$i]}"
  echo "job $i returned $?"
done

[[ "2001-02-03 rest" =~ ^([0-9]+)-([0-9]+) ]] && echo "${BASH_REMATCH[@]}"
factorial() {
  (($1 < 2)) && echo 1 || echo $(($1 * $(factorial $(($1 - 1)))))
}
factorial 15

coproc { while read -r line; do echo "heard $line"; done; }
echo hello >&"${COPROC[1]}"
read -r answer <&"${COPROC[0]}"
echo "$answer"

trap 'echo "on USR1"' USR1
kill -USR1 $$
trap 'echo "at exit" >&2' EXIT
printf '%(%Y)T %q %08.3f\n' 0 'a b' 3.14159
no-such-program
exit 5
END

# shellcheck disable=SC2016
assert_served bash -c 'x=$(echo a | cat)'
expected_status=5
run_both bash bash "$TEST_TMPDIR/session"
