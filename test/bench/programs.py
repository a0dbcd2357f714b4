"""Rows of real programs, with the same work for every allocator."""

import os
import shutil
import subprocess
import sysconfig
import time

from runner import Failed, Sample, end, environment

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "programs")
TIMEOUT = 300


def source(name):
    return os.path.join(HERE, name)


def made(runner, name, command):
    """The path of a file that holds what the command prints; made once."""
    path = os.path.join(runner.work, name)
    if not os.path.exists(path):
        with open(path, "wb") as file:
            subprocess.run(command, stdout=file, check=True, env=environment())
    return path


def text(runner, lines):
    return made(runner, f"text{lines}", ["/usr/bin/python3", source("text.py"), str(lines)])


def modules(runner, packages):
    """Copies of some packages of Python's library, to compile."""
    path = os.path.join(runner.work, f"modules{len(packages)}")
    if not os.path.exists(path):
        for package in packages:
            shutil.copytree(os.path.join(sysconfig.get_path("stdlib"), package),
                            os.path.join(path, package),
                            ignore=shutil.ignore_patterns("__pycache__"))
    return path


class Program:
    """A command that does a fixed amount of work; `amount` is (full, quick)."""

    def __init__(self, what, package, amount, command, variables=None):
        self.what = what
        self.packages = (package,)
        self.amount = amount
        self.command = command
        self.variables = variables

    def sample(self, runner, allocator):
        command = self.command(runner, self.amount[1 if runner.quick else 0])
        return runner.timed(allocator, command, TIMEOUT, self.variables)


class Redis:
    what = ("redis-server: the processor time of the server for so many requests of "
            "redis-benchmark (SET, GET, LPUSH, LPOP, SADD, HSET, ZADD, MSET).")
    packages = ("redis-server=redis-server", "redis-benchmark=redis-tools")

    def sample(self, runner, allocator):
        socket = os.path.join(runner.work, "redis.sock")
        server = runner.start(allocator, [
            "redis-server", "--port", "0", "--unixsocket", socket, "--save", "",
            "--appendonly", "no", "--daemonize", "no", "--loglevel", "warning"])
        try:
            give_up = time.monotonic() + 30
            while not os.path.exists(socket):
                if server.process.poll() is not None or time.monotonic() > give_up:
                    raise Failed("the server did not start")
                time.sleep(0.01)
            self.client(["redis-benchmark", "-s", socket, "-P", "16", "-c", "20", "-q",
                         "-n", "15000" if runner.quick else "150000", "-r", "100000",
                         "-d", "100", "-t", "set,get,lpush,lpop,sadd,hset,zadd,mset"])
            self.client(["redis-cli", "-s", socket, "shutdown", "nosave"])
            took, _ = server.wait(TIMEOUT)
        finally:
            end(server.process)
        return Sample(took["cpu"], took)

    @staticmethod
    def client(command):
        try:
            subprocess.run(command, check=True, timeout=TIMEOUT, env=environment(),
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        except subprocess.SubprocessError as why:
            raise Failed(f"{command[0]}: {type(why).__name__}") from None


def script(interpreter, name):
    return lambda _, amount: [interpreter, source(name), str(amount)]


def compiler(name):
    return lambda _, words: [name, "-std=c++17", *words, source("stl.cc")]


# Quick is only to look at the source, and at less of it.
COMPILATIONS = (["-O1", "-S", "-o", "/dev/null", "-DCOUNT=2"],
                ["-fsyntax-only", "-DQUICK", "-DCOUNT=1"])


def ghostscript(_, pages):
    return ["gs", "-q", "-dNOPAUSE", "-dBATCH", "-dSAFER", "-sDEVICE=ppmraw", "-r72",
            f"-dPAGES={pages}", "-sOutputFile=/dev/null", source("page.ps")]


def sqlite(runner, rows):
    queries = made(runner, f"queries{rows}.sql",
                   ["sed", f"s/ROWS/{rows}/g", source("queries.sql")])
    return ["sqlite3", ":memory:", f".read {queries}"]


def z3(runner, jobs):
    return ["z3", made(runner, f"schedule{jobs}.smt2", [
        "/usr/bin/python3", source("schedule.py"), str(jobs)])]


# Python's own allocator of small objects would stand before ours.
PYTHON = {"PYTHONMALLOC": "malloc", "PYTHONDONTWRITEBYTECODE": "1"}

PROGRAMS = {
    "redis": Redis(),
    "sqlite3": Program(
        "sqlite3: a shop in memory; inserts, indices, joins, windows, strings.",
        "sqlite3=sqlite3", (150000, 15000), sqlite),
    "python3-json": Program(
        "python3 (PYTHONMALLOC=malloc): JSON is written and read.",
        "/usr/bin/python3=python3", (25, 3), script("/usr/bin/python3", "json_loop.py"),
        PYTHON),
    "python3-dicts": Program(
        "python3 (PYTHONMALLOC=malloc): dictionaries, objects, strings come and go.",
        "/usr/bin/python3=python3", (15, 2), script("/usr/bin/python3", "dicts.py"), PYTHON),
    "python3-compileall": Program(
        "python3 (PYTHONMALLOC=malloc): packages of its library are compiled.",
        "/usr/bin/python3=python3",
        (("asyncio", "email", "http", "json", "logging", "unittest", "xml"), ("json",)),
        lambda runner, packages: ["/usr/bin/python3", "-m", "compileall", "-q", "-f",
                                  modules(runner, packages)], PYTHON),
    "g++": Program(
        "g++ -O1: a source with much of the C++ library, many times instantiated.",
        "g++=g++", COMPILATIONS, compiler("g++")),
    "clang++": Program(
        "clang++ -O1: the same.", "clang++=clang", COMPILATIONS, compiler("clang++")),
    "ghostscript": Program(
        "gs: pages of text, curves and gradients are rendered.",
        "gs=ghostscript", (12, 1), ghostscript),
    "z3": Program(
        "z3: jobs on machines, in linear integer arithmetic.",
        "z3=z3", (15, 12), z3),
    "perl": Program("perl: hashes, arrays, strings, regular expressions.",
                    "/usr/bin/perl=perl", (10, 1), script("perl", "objects.pl")),
    "lua": Program("lua: trees, tables, closures, strings.",
                   "lua5.4=lua5.4", (20, 3), script("lua5.4", "tables.lua")),
    "ruby": Program("ruby: objects, hashes, strings.",
                    "ruby=ruby", (10, 1), script("ruby", "objects.rb")),
    "xz": Program("xz -6: text is compressed; a few large blocks.",
                  "xz=xz-utils", (30000, 5000), lambda runner, lines: [
                      "xz", "-T1", "-6", "-k", "-f", text(runner, lines)]),
    "gawk": Program("gawk: words and pairs of words are counted.",
                    "gawk=gawk", (40000, 5000), lambda runner, lines: [
                        "gawk", "-f", source("words.awk"), text(runner, lines)]),
    "startup": Program("/bin/true, 1,000 times: to load the allocator and set it up.",
                       "/bin/true=coreutils", (1000, 50), lambda runner, count: [
                           runner.program("startup"), str(count)]),
}
