"""Runs other projects' test suites without the library and with it. scripts/suites
installs and builds what this needs; see --help."""

import argparse
import fcntl
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time

import report

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
USER = "nobody"  # Who runs the tests if root has called us.


class Failed(Exception):
    """Why a suite has no result."""


def names():
    files = sorted(os.listdir(f"{HERE}/projects"))
    return [name[:-len(".sh")] for name in files if name.endswith(".sh")]


def arguments():
    parser = argparse.ArgumentParser(
        prog="scripts/suites",
        description="Runs other projects' own test suites twice, on the C library's "
        "malloc and under aomalloc, and compares. Sources come from Debian by apt.")
    parser.add_argument("suite", nargs="*", metavar="NAME", help="(default: all)")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--short", dest="size", action="store_const", const="short",
                      help="a few tests of each")
    size.add_argument("--full", dest="size", action="store_const", const="full",
                      help="all tests, however long they take")
    parser.add_argument("--out", metavar="DIR",
                        help="write results.csv, names.csv and the tables of README.md "
                        "there; what it has of other suites is kept")
    parser.add_argument("--work", metavar="DIR", type=os.path.abspath,
                        default="/var/tmp/aomalloc-suites",
                        help="where sources, programs and logs go (default: %(default)s)")
    parser.add_argument("--list", action="store_true", help="tell the suites, and stop")
    # For scripts/suites.
    parser.add_argument("--needs", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--library", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.size = options.size or "usual"
    for name in options.suite:
        if name not in names():
            parser.error(f"no such suite: {name}; --list tells them")
    options.suite = options.suite or names()
    return options


class Suite:
    """What projects/NAME.sh says, and the steps it defines."""

    def __init__(self, name, options):
        self.name = name
        self.size = options.size
        self.work = options.work
        self.place = f"{options.work}/{name}"
        self.tree = f"{self.place}/tree"
        self.prepared = f"{self.place}/prepared"
        words = subprocess.run(
            self.step("describe"), stdout=subprocess.PIPE, check=True,
            env=self.environment()).stdout.decode().split("\0")[:-1]
        self.about, limit, explained = words[:3]
        self.limit = int(limit)
        self.needs = words[3:]
        self.explained = [line.split(": ", 1) for line in explained.splitlines() if line]

    def step(self, verb, where=HERE):
        return ["/bin/bash", f"{where}/suite.sh", self.name, verb]

    def environment(self, more=()):
        return {"PATH": PATH, "LC_ALL": "C.UTF-8", "TZ": "UTC", "TERM": "dumb",
                "HOME": f"{self.place}/home", "TMPDIR": f"{self.place}/tmp",
                "USER": user(), "LOGNAME": user(), "SHELL": "/bin/sh",
                "size": self.size, "jobs": str(os.cpu_count()), "work": self.work, **dict(more)}

    def call(self, verb, limit, log, more=()):
        """Runs a step as the tests' user; returns what it took."""
        taken = f"{self.place}/taken"
        if os.path.exists(taken):
            os.remove(taken)
        command = ([sys.executable, "-I", f"{HERE}/measure.py", str(limit), taken]
                   + as_user() + self.step(verb, steps(self.work)))
        # The library comes last: neither the measuring nor setpriv run under it.
        command[-4:-4] = ["/usr/bin/env"] + [f"{k}={v}" for k, v in dict(more).items()]
        with open(log, "wb") as out:
            process = subprocess.Popen(
                command, cwd=self.place, stdin=subprocess.DEVNULL, stdout=out,
                stderr=subprocess.STDOUT, env=self.environment())
            watch(process, f"{self.name}: {os.path.basename(log)}")
        if not os.path.exists(taken):
            raise Failed(f"somebody ended the run: see {log}")
        with open(taken, encoding="ascii") as file:
            return json.load(file)

    def clean(self):
        """Empty directories for what the tests leave behind."""
        for name in "tree", "home", "tmp":
            shutil.rmtree(f"{self.place}/{name}", ignore_errors=True)
        for name in "home", "tmp":
            os.mkdir(f"{self.place}/{name}")
            give(f"{self.place}/{name}")

    def prepare(self):
        """Unless that is done: fetches and compiles."""
        if os.path.isdir(self.prepared):
            return
        os.makedirs(self.place, exist_ok=True)
        self.clean()
        say(f"{self.name}: fetch")
        if subprocess.run(self.step("fetch"), cwd=self.place, stdin=subprocess.DEVNULL,
                          env=self.environment(), check=False).returncode:
            raise Failed("could not be fetched")
        give(self.place, self.tree)
        log = f"{self.place}/prepare"
        if self.call("prepare", 3600, log)["exit"] != 0:
            raise Failed(f"could not be prepared: see {log}")
        os.rename(self.tree, self.prepared)

    def run(self, label, more):
        """One run; returns (what it took, {test: outcome})."""
        self.clean()
        subprocess.run(["cp", "-a", self.prepared, self.tree], check=True)
        log = f"{self.place}/{label}"
        limit = 24 * 3600 if self.size == "full" else self.limit
        taken = self.call("tests", limit, log, more)
        if taken["exit"] is None:  # What it did not come to says nothing.
            raise Failed(f"stopped at its time limit of {limit} s: see {log}")
        with open(log, "rb") as file:
            lines = subprocess.run(
                self.step("outcomes"), cwd=self.place, stdin=file, stdout=subprocess.PIPE,
                env=self.environment(), check=False).stdout.decode(errors="replace")
        found = {}
        for line in lines.splitlines():
            outcome, name = line.split(" ", 1)
            # A test that is run twice has failed if it failed once.
            if outcome not in report.OUTCOMES:
                raise Failed(f"outcomes: {line}")
            if found.get(name) != "failed":
                found[name] = outcome
        return taken, found

    def version(self):
        with open(f"{self.place}/version", encoding="ascii") as file:
            return file.read().strip()


def steps(work):
    """Where the tests' user finds suite.sh: what lies in another's home it may not read."""
    return f"{work}/steps"


def user():
    return USER if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name


def as_user():
    if os.getuid():
        return []
    who = pwd.getpwnam(USER)
    return ["/usr/bin/setpriv", f"--reuid={who.pw_uid}", f"--regid={who.pw_gid}",
            "--clear-groups"]


def give(*paths):
    """Gives directories, with what is in them, to the user of the tests."""
    if os.getuid() == 0:
        who = pwd.getpwnam(USER)
        subprocess.run(["chown", "-R", f"{who.pw_uid}:{who.pw_gid}", *paths], check=True)


def say(text):
    print(f"aomalloc: {text}", file=sys.stderr, flush=True)


def watch(process, what):
    """Waits, and says now and then that it does."""
    start = said = time.monotonic()
    try:
        while process.poll() is None:
            time.sleep(0.05)
            now = time.monotonic()
            if now - said >= 60:
                said = now
                say(f"{what}: {now - start:.0f} s")
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


def settle(options):
    """Puts the libraries, the header and the steps where the tests' user may read them;
    returns the variables that preload."""
    for path in (options.library, f"{ROOT}/bazel-bin/core/libaomalloc.a",
                 f"{ROOT}/core/atomic_ops_malloc.h"):
        copy = f"{options.work}/{os.path.basename(path)}"
        shutil.copyfile(path, f"{copy}.new")
        os.chmod(f"{copy}.new", 0o644)
        os.replace(f"{copy}.new", copy)  # Somebody may be running on the old one.
    shutil.rmtree(steps(options.work), ignore_errors=True)
    os.mkdir(steps(options.work))
    shutil.copytree(f"{HERE}/projects", f"{steps(options.work)}/projects")
    shutil.copy(f"{HERE}/suite.sh", steps(options.work))
    subprocess.run(["chmod", "-R", "a+rX", steps(options.work)], check=True)
    return {"LD_PRELOAD": f"{options.work}/libaomalloc.so", "AO_MALLOC_ENABLE_MMAP": "1"}


def main():
    # What ends us ends what we have started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = arguments()
    suites = [Suite(name, options) for name in options.suite]
    if options.list:
        for suite in suites:
            print(f"{suite.name:12} {suite.about}")
        return 0
    if options.needs:
        print("\n".join({need for suite in suites for need in suite.needs}))
        return 0

    os.umask(0o022)  # Whatever it is: the tests' user may not be us.
    os.makedirs(options.work, exist_ok=True)
    lock = open(f"{options.work}/lock", "w", encoding="ascii")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say(f"{options.work}: another run is at work there")
        return 2
    preloaded = settle(options)
    results = []
    for suite in suites:
        try:
            suite.prepare()
            say(f"{suite.name}: without the library")
            without = suite.run("without", {})
            say(f"{suite.name}: with it")
            with_it = suite.run("with", preloaded)
            results.append(report.Result(suite, without, with_it))
        except Failed as why:
            results.append(report.Result(suite, why=str(why)))
        print(results[-1].text(), flush=True)
    if options.out:
        report.write(options.out, results)
    good = sum(result.good() for result in results)
    print(f"{good} suites without an unexplained difference, {len(results) - good} others")
    return 0 if good == len(results) else 1


if __name__ == "__main__":
    sys.exit(main())
