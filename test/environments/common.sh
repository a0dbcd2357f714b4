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
