#!/bin/bash
# The examples of core/report/METRICS.md, as they are there: what their pages of
# metrics say of a program that holds what is known.
source test/programs/common.sh
need gcc python3
page=$PWD/core/report/METRICS.md
mkdir -p "$work"
cd "$work"

# example LANGUAGE: the page's code in that language.
example() { awk -v begin="\`\`\`$1" '$0 == "```" { on = 0 } on { print } $0 == begin { on = 1 }' "$page"; }

# In C. 3000 blocks of 1000 bytes, which are 1024, and one of 8 MiB.
{
  example c
  cat <<'C'
#include <stdlib.h>
int main(void) {
  static void *volatile blocks[3000];
  for (int i = 0; i < 3000; i++) blocks[i] = malloc(1000);
  blocks[0] = malloc(8 << 20);
  write_heap_metrics(stdout);
  return blocks[2999] == NULL;
}
C
} >example.c
gcc -std=c11 -D_DEFAULT_SOURCE -Wall -Wextra -Werror -fno-builtin -o example example.c
with_library ./example >page.c

# In Python: the server that is there, and one request after the other.
example python >server.py
cat >client.py <<'END_OF_CLIENT'
import re
import sys
import threading
import urllib.request

import server

LINE = re.compile(r'# (HELP|TYPE) [a-z_]+ .*|[a-z_]+(\{[a-z]+="[a-z_0-9]+"\})? \d+')


def check(page, live, names):
    """Is it in the text format, and do the figures fit?"""
    lines = page.splitlines()
    for line in lines:
        assert LINE.fullmatch(line), line
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    for name in names:
        assert name in values, (name, page)
        assert re.search(rf"^# TYPE {name.split('{')[0]} (gauge|counter)$", page, re.M), name
    found = int(values["heap_live_bytes"])
    assert live <= found <= int(values["heap_used_bytes"]), (live, page)
    return found


with open("page.c", encoding="utf-8") as page:
    of_c = 2999 * 1024 + (8 << 20)
    assert check(page.read(), of_c, ("heap_free_in_slabs_bytes", "heap_trimmable_bytes")) < of_c * 1.1

before = None
held = []
with server.serve(0) as metrics:
    threading.Thread(target=metrics.serve_forever, daemon=True).start()
    for _ in range(3):
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics.server_port}/metrics") as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            text = answer.read().decode()
        live = check(text, 0, (
            "heap_resident_bytes", "heap_mapped_bytes", 'heap_not_live_bytes{cause="away"}',
            'heap_class_blocks{size="64"}', "heap_remote_frees_total", "heap_purged_bytes_total"))
        assert before is None or abs(live - before - (10 << 20)) < 1 << 20, (before, live)
        before = live
        held.append(bytearray(10 << 20))
    metrics.shutdown()
sys.exit(0)
END_OF_CLIENT
AO_MALLOC_STATS=$work/heap AO_MALLOC_STATS_FORMAT=json AO_MALLOC_DUMP_SIGNAL=USR2 \
  PYTHONPATH=$work with_library /usr/bin/python3 -B client.py || fail 'not the metrics that they should be'
