# shellcheck shell=bash
# node's test/parallel, with Debian's node, which need not be the installed one.
about="node's test/parallel: buffers, events, strings, vm, workers, zlib; all with --full"
needs=(python3=python3 /usr/share/nodejs/acorn/package.json=node-acorn
  /usr/share/nodejs/undici/package.json=node-undici
  /usr/share/nodejs/cjs-module-lexer/package.json=node-cjs-module-lexer)
from=nodejs
unpacked=(nodejs libnode108)

tests() {
  local root=$PWD/unpacked pattern pick=()
  ln -s "$root/usr/bin/node" node # The harness asks it about itself.
  export LD_LIBRARY_PATH=$root/usr/lib/x86_64-linux-gnu
  case $size in
    short) pick=(parallel/test-buffer-a*) ;;
    usual)
      for pattern in buffer event string vm worker zlib; do
        pick+=("parallel/test-$pattern*")
      done
      ;;
    full) pick=(parallel sequential) ;;
  esac
  python3 tools/test.py -J --shell "$root/usr/bin/node" --timeout 60 -p tap \
    --flaky-tests=dontcare "${pick[@]}"
}

outcomes() {
  sed -nE 's/^(ok|not ok) [0-9]+ ([^ #]+)(.*)/\1\3 \2/p' |
    sed -E 's/^ok ?# skip.* ([^ ]+)$/skipped \1/; s/^(not ok|ok).* ([^ ]+)$/\1 \2/
      s/^ok /passed /; s/^not ok /failed /'
}
