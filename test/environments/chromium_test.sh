#!/bin/bash
# Chromium, headless, draws a page: a program with its own malloc, whose
# processes are confined by namespaces and seccomp filters, where the system lets
# it do so.
source test/environments/common.sh

need chromium setpriv

# It confines nothing for root.
unprivileged=()
if ((EUID == 0)); then
  unprivileged=(setpriv --reuid=nobody --regid=nogroup --clear-groups)
fi
# Where such a user may go.
place=$(mktemp -d /tmp/chromium_test.XXXXXX)
trap 'rm -rf "$place"' EXIT
chmod 755 "$place"
cp -L "$library" "$place"
library=$place/libaomalloc.so
home=$place/home
options=()

draw() {
  rm -rf "$home"
  mkdir -m 777 "$home"
  cat >"$home/page.html" <<'HTML'
<!doctype html><body style="margin: 0"><canvas id=c width=300 height=200></canvas>
<script>
const c = document.getElementById('c').getContext('2d');
const blocks = [];
for (let i = 0; i < 300; ++i) {
  blocks.push(new Array(1000).fill(i));
  c.fillStyle = `rgb(${i % 256}, ${255 - i % 256}, 80)`;
  c.fillRect(i, blocks[i][7] % 50, 1, 200);
}
</script>
HTML
  chmod -R a+rX "$home"
  HOME=$home TMPDIR=$home "${unprivileged[@]}" chromium --headless --disable-gpu \
    --disable-dev-shm-usage "${options[@]}" --user-data-dir="$home/profile" --screenshot="$home/page.png" \
    --window-size=400,300 "file://$home/page.html" 2>"$TEST_TMPDIR/said" &
  local browser=$! confined=
  # Some of its processes run a filter, and have the library, as far as is known.
  while kill -0 "$browser" 2>/dev/null; do
    for process in $(pgrep -s 0 chromium); do
      # Not to be read, unless by root, of those that are confined.
      if [[ ${LD_PRELOAD-} ]]; then
        grep -qsF "$LD_PRELOAD" "/proc/$process/maps" || (($? != 1)) || continue
      fi
      if grep -qs 'Seccomp:.*2' "/proc/$process/status"; then confined=yes; fi
    done
    read -rt 0.1 <> <(:) || :
  done
  wait "$browser" || { tail "$TEST_TMPDIR/said"; return 1; }
  echo "confined: ${confined:-no}"
  cp "$home/page.png" .
}

# It takes namespaces, of the user's own or by a setuid program; a container may
# have neither.
run trial draw
if [[ $(<"$TEST_TMPDIR/trial/status") != 0 ]]; then
  echo "confined by nothing, library or not: $(<"$TEST_TMPDIR/trial/stdout")"
  options=(--no-sandbox)
fi
run_both chromium draw
((${#options[@]})) || grep -q 'confined: yes' "$TEST_TMPDIR/chromium.with/stdout" ||
  fail 'nothing was confined'
[[ $(file -b "$TEST_TMPDIR/chromium.with/files/page.png") == PNG* ]] || fail 'no picture'
