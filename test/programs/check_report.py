"""check_report.py FILE OCCASION: is each report in it what it should be?

For statistics_test: they are those that reported.c makes, which says what it has.
"""

import json
import sys

path, occasion = sys.argv[1:]
lines = open(path, encoding="utf-8").read().splitlines()
for line in lines:
    report = json.loads(line)
    memory, waste = report["memory"], report["waste"]
    assert report["occasion"] == occasion, report["occasion"]
    blocks = {c["size"]: c["blocks"] for c in report["classes"]}
    # 1000, 9000 and 500 bytes; a few are the C library's.
    assert 5000 <= blocks[1024] <= 5010, blocks
    assert 300 <= blocks[9216] <= 303, blocks
    assert 2000 <= blocks[512] <= 2010, blocks
    assert report["counts"]["spans"] >= 3 and memory["spans"] >= 3 << 20
    live = 5000 * 1024 + 300 * 9216 + (3 << 20)
    assert live <= memory["live"] <= live * 1.03, (live, memory["live"])
    # What was live most was all of it.
    peak = live + 2000 * 512
    assert 0.97 * peak <= memory["peak_live"] <= 1.03 * peak, (peak, memory)
    # Freed by a thread that has ended, not taken home by the owner.
    assert 2000 * 512 * 0.99 <= waste["away"] <= 2000 * 512 * 1.1, waste
    assert memory["resident"] >= live and memory["mapped"] >= memory["used"]
    assert 0 < memory["huge"] <= memory["mapped"] and memory["huge"] % (2 << 20) == 0, memory
    assert memory["peak_used"] >= memory["used"] >= memory["live"]
    slabs = sum(c["slabs"] for c in report["classes"])
    runs = [run for arena in report["arenas"] for run in arena["runs"]]
    churned = 8  # slabs that come and go meanwhile
    assert abs(sum(run[0] == "slab" for run in runs) - slabs) <= churned
    assert sum(run[3] for run in runs if run[0] == "slab" and run[2] == 1024) == blocks[1024]
    assert sum(run[0] == "span" for run in runs) >= 3
print(f"{len(lines)} report(s) {occasion}, as it should be")
