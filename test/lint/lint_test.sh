#!/bin/bash
# scripts/lint says what is wrong of files that are, and nothing of what is here.
set -euo pipefail
lint=$(readlink -f scripts/lint)
root=$(dirname "$(dirname "$lint")")

fail() {
  printf 'FAILED: %s\n' "$*"
  exit 1
}

# A fault for each linter, one in a header, and a file that is as it should be.
mkdir -p "$TEST_TMPDIR/wrong/core"
cd "$TEST_TMPDIR/wrong"
cp "$root"/.clang-{format,tidy} .
echo 'inline long Product(int a) { return a * 3000; }' >core/header.h
cat >source.cc <<'END'
#include "core/header.h"
int main() {
  int* p = nullptr;
  return *p + static_cast<int>(Product(1));
}
END
echo 'int  format;' >format.c
cat >shell <<'END'
#!/bin/sh
echo $1
END
cat >python.py <<'END'
import os
print( 1)
END
cat >good.sh <<'END'
#!/bin/sh
echo good
END
said=$("$lint" source.cc format.c shell python.py good.sh 2>&1) && fail "all is good: $said"
for finding in \
  'source\.cc:4:10: error: .*clang-analyzer-core\.NullDereference' \
  'core/header\.h:1:37: error: .*bugprone-implicit-widening' \
  'format\.c:1:4: error: .*clang-format' \
  'shell:2:6: note: .*SC2086' \
  'python\.py:1:1: F401' \
  'python\.py:2:7: E201' \
  '4 checks, 4 failed$'; do
  grep -qE "(^|/)$finding" <<<"$said" || fail "not found: $finding: $said"
done
[[ $said != *good.sh* ]] || fail "good.sh: $said"

"$lint" --short
