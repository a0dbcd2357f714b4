# shellcheck shell=bash
# What the scripts share.  Sourced, not run.

ROOT=$(cd -P "${BASH_SOURCE[0]%/*}/.." && pwd)

# shellcheck disable=SC2034 # Of those who source this.
VERSION=1.0.0

# Builds and tests see this PATH and no other (.bazelrc says the same to Bazel),
# so what is looked for here is what they will find.
FIXED_PATH=/bin:/usr/bin:/usr/local/bin

# What to look for (a file, or a pattern of one, or a command) = the Debian package
# that has it.
BUILD_NEEDS=(
  /usr/bin/bazel=bazel-bootstrap
  /usr/share/bazel/rules/java=bazel-rules-java
  /usr/share/bazel/rules/proto=bazel-rules-proto
  /usr/lib/jvm/default-java/bin/javac=default-jdk-headless
  /usr/include/atomic_ops.h=libatomic-ops-dev
  dtrace=systemtap-sdt-dev # sys/sdt.h comes with it
  gcc=gcc
  'g++=g++'
)

# For scripts/lint. Another version of clang's formats and finds otherwise, and
# Debian 13 does not have this one.
# shellcheck disable=SC2034
LINT_NEEDS=(
  clang-format-14=clang-format-14
  clang-tidy-14=clang-tidy-14
  flake8=flake8
  shellcheck=shellcheck
  # What the sources include.
  'g++=g++'
  /usr/include/atomic_ops.h=libatomic-ops-dev
  /usr/include/gtest/gtest.h=libgtest-dev
)

say() { printf 'aomalloc: %s\n' "$*" >&2; }

die() {
  say "$*"
  exit 1
}

# need WHAT=PACKAGE...: installs the packages of which something is missing.
need() {
  local pair what missing=() as_root=()
  for pair; do
    what=${pair%%=*}
    if [[ $what == /* ]]; then
      compgen -G "$what" >/dev/null || missing+=("${pair#*=}")
    else
      PATH=$FIXED_PATH type -P "$what" >/dev/null || missing+=("${pair#*=}")
    fi
  done
  ((${#missing[@]})) || return 0

  say "installing ${missing[*]}"
  type -P apt-get >/dev/null || die "no apt-get here: please install them"
  if ((EUID != 0)); then
    type -P sudo >/dev/null || die "neither root nor sudo: please install them"
    as_root=(sudo)
  fi
  # An installed server must not start: policy-rc.d is how Debian is told so.
  # One that is there already belongs to somebody else and stays as it is.
  ${as_root[@]+"${as_root[@]}"} env -u LD_PRELOAD DEBIAN_FRONTEND=noninteractive \
    flock /var/lock/aomalloc-install sh -s -- "${missing[@]}" >&2 <<'SH' || die "could not install ${missing[*]}"
set -eu
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ] && [ ! -L "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  trap 'exit 1' HUP INT TERM
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi
# A source that does not answer matters only if a package was to come from it.
apt-get -qq update </dev/null >/dev/null || :
apt-get -qq -o DPkg::Lock::Timeout=300 \
  install -y --no-install-recommends "$@" </dev/null >/dev/null
SH
}

# Bazel, without whatever of the caller's environment would change the build.
# The program's standard input and output are not Bazel's to use.
run_bazel() (
  cd "$ROOT" || exit
  unset LD_PRELOAD LD_LIBRARY_PATH JAVA_HOME USE_BAZEL_VERSION
  [[ ${HOME-} ]] || { unset HOME; HOME=~; } # Unset, ~ is what passwd says.
  export HOME PATH=$FIXED_PATH
  /usr/bin/bazel "$@" </dev/null >&2
)

# The state of all that the library is made from, and of what was made.  A
# change time cannot be set back, so no edit, copy or checkout goes unnoticed.
SOURCES=(WORKSPACE BUILD .bazel .bazelrc .bazelrc.user .bazelignore core preload)
OUTPUTS=(bazel-bin bazel-bin/preload/libaomalloc{,-hardened}.so)
state_of() (
  cd "$ROOT" || exit
  find "$@" -printf '%p %l %s %C@\n' 2>/dev/null || : # Some may be missing.
)

# Lives among Bazel's outputs, so that "bazel clean" takes it away too.
STAMP=$ROOT/bazel-out/aomalloc.stamp

up_to_date() {
  [[ -r $STAMP && -r $ROOT/bazel-bin/preload/libaomalloc.so ]] &&
    [[ $(<"$STAMP") == "$(state_of "${SOURCES[@]}" "${OUTPUTS[@]}")" ]]
}

build() {
  need "${BUILD_NEEDS[@]}"
  say "building"
  # Before: an edit made meanwhile calls for another build.
  local before
  before=$(state_of "${SOURCES[@]}")
  run_bazel build --config=quiet //preload:libaomalloc{,-hardened}.so \
    //core:aomalloc ||
    return 1
  printf '%s\n' "$before" "$(state_of "${OUTPUTS[@]}")" >"$STAMP.$$"
  mv -f "$STAMP.$$" "$STAMP"
}

# The library's own place, not the way through bazel-bin, which leads elsewhere
# after a build with another configuration.
# library NAME: of libNAME.so.
library() {
  local dir
  dir=$(cd -P "$ROOT/bazel-bin/preload" && pwd)
  [[ $dir != *[[:space:]:]* ]] ||
    die "LD_PRELOAD cannot name a path with a blank or a colon: $dir"
  printf '%s\n' "$dir/lib$1.so"
}
