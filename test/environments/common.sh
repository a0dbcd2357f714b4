# shellcheck shell=bash
# Sourced by the tests of this folder.
source test/programs/common.sh

# shellcheck disable=SC2034
helpers=$PWD/test/environments

# as_root COMMAND...: in a user namespace of one's own, for those who are not.
as_root() {
  if ((EUID == 0)); then
    "$@"
  else
    unshare --user --map-root-user "$@"
  fi
}

# need_root: ends the test where as_root cannot be had.
need_root() {
  as_root true || not_here 'neither root nor a user namespace to be it in'
}
