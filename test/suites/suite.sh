#!/bin/bash
# suite.sh SUITE VERB: one step of one suite, in the current directory, which is
# the suite's own.  projects/SUITE.sh sets and defines:
#
#   about         what is run, in a line
#   needs         what to look for = the Debian package that has it (scripts/lib.sh)
#   from          the Debian source package that the tests come from, or nothing
#   release       the Debian release it comes from, if not the system's
#   unpacked      binary packages that are not installed, but lie in tree/unpacked
#   limit         seconds that one run may take
#   prepare       compiles what the tests need, with the library nowhere near
#   tests         runs them; what it prints is the log
#   outcomes      reads the log; prints "passed|failed|skipped NAME" for each test
#   explained     "NAME: why" in lines: tests that may well end differently under
#                 the library; NAME may be a pattern
#
# prepare and tests run in ./tree, the unpacked source (empty if there is none),
# outcomes beside it.  Each run of tests gets a fresh copy of the prepared tree at
# the same place.  $work is where all suites and the libraries are; $size (short,
# usual or full) is how much is asked for; $jobs is how many may run at a time;
# $version is the source's.
set -euo pipefail
here=$(cd -P "${BASH_SOURCE[0]%/*}" && pwd)
project=$here/projects/$1.sh

# The caller sets it.
: "${work:?}"

about='' needs=() from='' release='' unpacked=() limit=900 explained=''
prepare() { :; }

# What "make check" of automake prints.
automake_outcomes() {
  sed -nE 's/^X?(PASS|FAIL|SKIP|ERROR|XPASS|XFAIL): ([^ ]+).*/\1 \2/p' |
    sed -E 's/^(PASS|XFAIL) /passed /; s/^(FAIL|ERROR|XPASS) /failed /
      s/^SKIP /skipped /'
}

# What perl's Test::Harness and prove print: a line for each file that passed, and
# a summary of those that did not.
harness_outcomes() {
  awk '/^[^ ]+ \.+ ok/ { print "passed", $1 }
    /^[^ ]+ \.+ skipped/ { print "skipped", $1 }
    /^[^ ]+ +\(Wstat: / {
      name = $1
      if ($3 != "0" || !/Failed: 0/) print "failed", name
    }
    /^  Parse errors: / { print "failed", name }'
}

# shellcheck source=/dev/null
source "$project"

# apt-get and apt-cache with lists of their own: the sources of the Debian releases
# that the system has its binary packages from.  The system's lists stay as they
# are.
apt() {
  local command=$1 apt=$work/apt$release
  shift
  "apt-$command" -qq -o "Dir::Etc::sourcelist=$apt/sources.list" \
    -o Dir::Etc::sourceparts=/dev/null -o "Dir::State::lists=$apt/lists" \
    -o "Dir::Cache=$apt" -o APT::Sandbox::User=root "$@"
}

update_lists() {
  local apt=$work/apt$release entry
  entry='deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]'
  [[ ! $(find "$apt/updated" -mtime -1 2>/dev/null) ]] || return 0
  mkdir -p "$apt/lists/partial" "$apt/archives/partial"
  # shellcheck disable=SC2016
  apt-get indextargets 'Created-By: Packages' \
    --format '$(ORIGIN) $(REPO_URI) $(RELEASE) $(COMPONENT)' |
    sed -n "s,^Debian ,$entry ,p" | sort -u >"$apt/sources.list"
  [[ ! $release ]] ||
    echo "$entry http://deb.debian.org/debian $release main" >"$apt/sources.list"
  [[ -s $apt/sources.list ]] || { echo 'apt knows no Debian archive'; exit 1; }
  apt get update
  touch "$apt/updated"
}

# Leaves the unpacked source in ./tree and its version in ./version.  Takes the
# newest version that the archive hands out; if it lacks Debian's part of all of
# them, the original alone.
fetch() {
  : >version
  rm -rf tree
  mkdir tree
  if [[ ! $from ]]; then # The tests are those of the last package it needs.
    # shellcheck disable=SC2016
    dpkg-query --showformat '${Version}\n' --show "${needs[-1]#*=}" >version
    return
  fi
  update_lists
  local candidate part versions
  versions=$(apt cache showsrc --only-source "$from" | sed -n 's/^Version: //p' |
    sort -rVu)
  for part in --dsc-and-tar --tar-only; do
    for candidate in $versions; do
      rm -rf download
      mkdir download
      (
        cd download
        [[ $part == --tar-only ]] || part=
        apt get source --download-only $part "$from=$candidate" 2>/dev/null
      ) || continue
      unpack
      echo "$candidate" >version
      unpack_packages
      return
    done
  done
  echo "no version of $from can be had"
  return 1
}

unpack() {
  local description=(download/*.dsc) archive
  if [[ -e ${description[0]} ]]; then
    rmdir tree
    dpkg-source --no-check --no-copy --extract "${description[0]}" tree >/dev/null
  else
    for archive in download/*.orig.tar.*[!c]; do
      tar -C tree --strip-components=1 -xf "$archive"
    done
  fi
  rm -r download
}

unpack_packages() {
  local package
  for package in ${unpacked[@]+"${unpacked[@]}"}; do
    apt-get -qq -o APT::Sandbox::User=root download "$package=$(<version)"
    dpkg-deb --extract "$package"_*.deb tree/unpacked
    rm "$package"_*.deb
  done
}

case $2 in
  fetch | outcomes) "$2" ;;
  prepare | tests)
    # shellcheck disable=SC2034
    version=$(<version)
    cd tree
    "$2"
    ;;
  describe)
    printf '%s\0' "$about" "$limit" "$explained" ${needs[@]+"${needs[@]}"}
    ;;
  *) echo "no such verb: $2" >&2; exit 2 ;;
esac
