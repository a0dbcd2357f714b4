"""Compares two runs of a suite, and keeps and shows what came of it."""

import csv
import fnmatch
import os

OUTCOMES = ("passed", "failed", "skipped")
RUNS = ("without", "with")
RESULTS = ["suite", "version", "size", "library", "passed", "failed", "skipped",
           "wall_s", "cpu_s", "rss_kib", "exit"]
NAMES = ["suite", "test", "without", "with", "why"]
ABSENT = "absent"  # Said of a test that only the other run has.
MARKS = ("<!-- the tables are written by scripts/suites -->\n", "<!-- up to here -->\n")


class Result:
    """What two runs of a suite came to: rows of results.csv and of names.csv."""

    def __init__(self, suite, without=None, with_it=None, why=None):
        self.name = suite.name
        self.why = why
        self.rows, self.names = [], []
        if why:
            return
        for label, (taken, found) in zip(RUNS, (without, with_it)):
            row = {"suite": suite.name, "version": suite.version(), "size": suite.size,
                   "library": label, **taken}
            for outcome in OUTCOMES:
                row[outcome] = list(found.values()).count(outcome)
            self.rows.append(row)
        before, after = without[1], with_it[1]
        for test in sorted(before.keys() | after.keys()):
            pair = before.get(test, ABSENT), after.get(test, ABSENT)
            if pair[0] == pair[1] != "failed":
                continue
            self.names.append({
                "suite": suite.name, "test": test, "without": pair[0], "with": pair[1],
                "why": explanation(suite, test) if pair[0] != pair[1] else ""})

    def different(self):
        return [row for row in self.names if row["without"] != row["with"]]

    def good(self):
        """All differences are explained, and something was tried."""
        return bool(not self.why and self.rows[1]["passed"] and
                    all(row["why"] for row in self.different()))

    def text(self):
        if self.why:
            return f"{self.name}: {self.why}"
        lines = [f"{self.name} {self.rows[0]['version']}".rstrip()]
        for row in self.rows:
            ended = {0: ""}.get(row["exit"], f", ended: {row['exit']}")
            lines.append(f"  {row['library']:8}{row['passed']:6} passed{row['failed']:5} failed"
                         f"{row['skipped']:5} skipped{row['wall_s']:8.1f} s"
                         f"{row['cpu_s']:8.1f} s CPU{row['rss_kib'] / 1024:8.1f} MiB{ended}")
        for row in self.names:
            if row["without"] == row["with"]:
                lines.append(f"  fails in both: {row['test']}")
            else:
                lines.append(f"  {row['test']}: {row['without']} without, {row['with']} with: "
                             f"{row['why'] or 'UNEXPLAINED'}")
        return "\n".join(lines)


def explanation(suite, test):
    for pattern, why in suite.explained:
        if fnmatch.fnmatchcase(test, pattern):
            return why
    return ""


def write(folder, results):
    """Adds results to a folder's files, in place of older ones of the same suites."""
    done = [result for result in results if not result.why]
    replaced = {result.name for result in done}
    os.makedirs(folder, exist_ok=True)
    tables = []
    for name, fields, rows in (("results.csv", RESULTS, [r for d in done for r in d.rows]),
                               ("names.csv", NAMES, [r for d in done for r in d.names])):
        path = f"{folder}/{name}"
        if os.path.exists(path):
            with open(path, newline="", encoding="utf-8") as file:
                rows += [row for row in csv.DictReader(file) if row["suite"] not in replaced]
        rows.sort(key=lambda row: row["suite"])  # Stable: without, then with.
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fields, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        tables.append(rows)
    write_readme(f"{folder}/README.md", *tables)


def write_readme(path, rows, names):
    text = MARKS[0] + MARKS[1]
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            text = file.read()
    before, rest = text.split(MARKS[0])
    with open(path, "w", encoding="utf-8") as file:
        file.write(before + MARKS[0] + "\n" + tables(rows, names) + "\n" + MARKS[1]
                   + rest.split(MARKS[1])[1])


def tables(rows, names):
    lines = ["| suite | passed | failed | skipped | differ | CPU time, s | peak RSS, MiB |",
             "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"]
    for without, with_it in zip(rows[::2], rows[1::2]):
        suite = without["suite"]
        differ = sum(n["suite"] == suite and n["without"] != n["with"] for n in names)
        pairs = [both(without[o], with_it[o]) for o in OUTCOMES]
        times = f"{float(without['cpu_s']):.0f} / {float(with_it['cpu_s']):.0f}"
        peaks = " / ".join(f"{int(row['rss_kib']) / 1024:.0f}" for row in (without, with_it))
        lines.append(f"| {suite} {without['version']} | " + " | ".join(pairs)
                     + f" | {differ} | {times} | {peaks} |")
    different = [n for n in names if n["without"] != n["with"]]
    if different:
        lines += ["", "| test | without | with | why |", "| --- | --- | --- | --- |"]
        lines += [f"| {n['suite']}: {n['test']} | {n['without']} | {n['with']} | {n['why']} |"
                  for n in different]
    return "\n".join(lines) + "\n"


def both(one, other):
    return str(one) if str(one) == str(other) else f"{one} / {other}"
