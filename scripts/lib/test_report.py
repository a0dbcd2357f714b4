"""test_report.py EVENTS STATUS [SCRIPT OUTCOME TABLE]...: what scripts/test prints.

EVENTS is the build event file of "bazel test" in JSON and STATUS its exit status.
Of each script that ran beside it: its name, "passed" or "failed", and the file
that holds what it printed.

Counts test cases, of GoogleTest or otherwise, as the tests reported them. A target
that fails without a failed case (it did not build, crashed at the end, took too
long) counts as one, and so does a script.
"""

import json
import sys
import urllib.parse
import xml.etree.ElementTree

TAIL = 60  # lines of a failed test's log


def read_events(path):
    """By label: whether targets were built, verdicts of tests, files of each run."""
    built, verdicts, results = {}, {}, {}
    with open(path, encoding="utf-8", errors="replace") as events:
        for line in events:
            try:
                event = json.loads(line)
            except ValueError:
                continue  # Bazel was killed in the middle of a line.
            kind, key = next(iter(event["id"].items()))
            if kind == "targetCompleted":
                built[key["label"]] = event.get("completed", {}).get("success", False)
            elif kind == "testSummary":
                verdicts[key["label"]] = event.get("testSummary", {}).get("overallStatus")
            elif kind == "testResult" and "testResult" in event:
                # A later attempt takes the place of an earlier one.
                run = (key.get("run"), key.get("shard"))
                files = event["testResult"].get("testActionOutput", [])
                results.setdefault(key["label"], {})[run] = {
                    f["name"]: urllib.parse.unquote(urllib.parse.urlparse(f.get("uri", "")).path)
                    for f in files}
    return built, verdicts, results


def cases(path):
    """Yields (name, outcome, reason for skipping it) of each case in a test.xml."""
    try:
        root = xml.etree.ElementTree.parse(path).getroot()
    except (OSError, TypeError, xml.etree.ElementTree.ParseError):
        return
    for case in root.iter("testcase"):
        name = ".".join(filter(None, (case.get("classname"), case.get("name"))))
        if case.find("failure") is not None or case.find("error") is not None:
            yield name, "failed", ""
        elif case.find("skipped") is not None or case.get("status") == "notrun":
            skipped = case.find("skipped")
            yield name, "skipped", skipped.get("message", "") if skipped is not None else ""
        else:
            yield name, "passed", ""


def print_tail(path):
    """Prints the end of a log, if there is one."""
    try:
        with open(path, encoding="utf-8", errors="replace") as log:
            tail = log.readlines()[-TAIL:]
    except (OSError, TypeError):
        return
    print(f"---- the end of {path}")
    sys.stdout.writelines("    " + line.rstrip("\n") + "\n" for line in tail)
    print("----")


def print_test(label, verdict, runs, total):
    """Prints what became of a test, and adds it to `total`."""
    ok = verdict in ("PASSED", "FLAKY")
    found = [c for files in runs for c in cases(files.get("test.xml"))]
    if ok and not found:
        found = [(label, "passed", "")]
    if not ok and all(outcome != "failed" for _, outcome, _ in found):
        found.append((f"the target itself ({verdict})", "failed", ""))
    outcomes = [outcome for _, outcome, _ in found]
    counts = (f"{outcomes.count(o)} {o}" for o in total if o in outcomes)
    print(f"{label}: {', '.join(counts)}")
    for name, outcome, reason in found:
        total[outcome] += 1
        if outcome == "failed":
            print(f"FAILED {label}: {name}")
        elif outcome == "skipped":
            print(f"SKIPPED {label}: {name}: {reason}")
    if not ok:
        for files in runs:
            print_tail(files.get("test.log"))


def main(events, status, *scripts):
    """Returns an exit status."""
    built, verdicts, results = read_events(events)
    total = {"passed": 0, "failed": 0, "skipped": 0}
    for label in sorted(set(built) | set(verdicts)):
        if not built.get(label, True):
            total["failed"] += 1
            print(f"FAILED {label}: does not build")
        elif label in verdicts:  # It is a test.
            print_test(label, verdicts[label], results.get(label, {}).values(), total)

    for name, outcome, table in zip(*[iter(scripts)] * 3):
        total[outcome] += 1
        with open(table, encoding="utf-8") as file:
            print(file.read(), end="")
        if outcome == "failed":
            print(f"FAILED scripts/{name}")

    # Bazel's 3 is "tests failed" and 4 "no tests"; the rest never got that far.
    if int(status) not in (0, 3, 4) and not total["failed"]:
        total["failed"] = 1
    if total["skipped"]:
        print(f"{total['skipped']} skipped")
    print(f"{total['passed']} passed, {total['failed']} failed")
    return 0 if total["passed"] and not total["failed"] else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
