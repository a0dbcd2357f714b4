"""check_inspect.py SCRIPTS WATCHED FOLDER LIBRARY HARDENED: for inspect_test.

WATCHED is watched.c, which says what it has.
"""

import fcntl
import io
import json
import os
import pty
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from contextlib import redirect_stderr, redirect_stdout

SCRIPTS, WATCHED, FOLDER, LIBRARY, HARDENED = sys.argv[1:]
sys.path.insert(0, f"{SCRIPTS}/installed/inspect")

from aomalloc import command, figures, screen, text  # noqa: E402
from aomalloc.heap import Heap  # noqa: E402
from aomalloc.layout import VERSION  # noqa: E402
from aomalloc.memory import Core, Memory, Process  # noqa: E402

OF_SLAB = r"number \d+ of \d+ of the slab at 0x[0-9a-f]+, heap 0x[0-9a-f]+: "
# What is to be said of the pointers that watched prints.
WHAT = {
    "live": r"a block of class 1024, 1024 bytes, " + OF_SLAB + "live",
    "inside": r"100 bytes inside a block of class 1024 at 0x[0-9a-f]+, 1024 bytes, .*: live",
    "large": r"a large block, 1\d{5} bytes, live",
    "large_inside": r"99999 bytes inside a large block at 0x[0-9a-f]+, 1\d{5} bytes, live",
    "of_sleeper": r"a block of class 320, 320 bytes, .*: live",
    "away": r"a block of class 512, 512 bytes, .*: free, (waiting|not sent home|kept) .*",
    "freed": r"a block of class 1024, 1024 bytes, .*: free",
    "freed_large": r"in (free memory of the heap|memory that a heap keeps for later, free)",
    "on_stack": "not an address of aomalloc",
    "of_program": "not an address of aomalloc",
}
WHAT_HARDENED = {
    **{name: WHAT[name] for name in ("live", "inside", "of_sleeper", "on_stack")},
    "freed": r".*: free, in quarantine",
}


class Watched:
    """watched, running."""

    def __init__(self, name, library, mmap="1", within=(), arguments=()):
        self.report = f"{FOLDER}/{name}.report"
        self.child = subprocess.Popen(
            [*within, WATCHED, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, env={
                "LD_PRELOAD": library, "AO_MALLOC_ENABLE_MMAP": mmap,
                "AO_MALLOC_DUMP_SIGNAL": "USR2", "AO_MALLOC_STATS": self.report,
                "AO_MALLOC_STATS_FORMAT": "json"})
        self.pointers = {}
        for line in self.child.stdout:
            pointer, address = line.split()
            if pointer == "ready":
                break
            self.pointers[pointer] = address
        self.process = str(self.child.pid)
        if within:
            with open(f"/proc/{self.process}/task/{self.process}/children",
                      encoding="utf-8") as children:
                self.process = children.read().strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.stdin.close()
        assert self.child.wait() == 0, "the program was disturbed"


def run(*arguments, status=0):
    """What scripts/heap prints."""
    done = subprocess.run([f"{SCRIPTS}/heap", *arguments], capture_output=True, text=True,
                          check=False)
    assert done.returncode == status, (arguments, done)
    assert status == 0 or not done.stdout, done
    return done.stderr if status else done.stdout


def refused(pattern, *arguments):
    said = run(*arguments, status=1)
    assert re.fullmatch(f"aomalloc: {pattern}\n", said), (arguments, said)


def check_pointers(target, watched, expected):
    names = list(expected)
    lines = run("what", target, *(watched.pointers[name] for name in names)).splitlines()
    assert len(lines) == len(names), lines
    for name, line in zip(names, lines):
        assert re.fullmatch(f"{watched.pointers[name]}: {expected[name]}", line), (name, line)


def check_figures(watched, large_heap):
    """Ours are those of the library, and those of what the program holds."""
    with open(watched.report, encoding="utf-8") as reports:
        theirs = json.loads(reports.readlines()[0])
    ours = json.loads(run("report", "--json", watched.process))
    again = json.loads(run("top", "--json", watched.process))
    assert ours == again, "not the same when it is looked at again"
    del theirs["memory"]["peak_live"]
    del theirs["memory"]["huge"]  # what was asked for is not in the layout
    resident = ours["memory"].pop("resident"), theirs["memory"].pop("resident")
    if resident[1] is not None:
        assert abs(resident[0] - resident[1]) <= 64 << 10, resident
    assert resident[0] >= 500 * 1024 + 20 * 9216
    for key in theirs:
        if key not in ("occasion", "mmap"):
            assert ours[key] == theirs[key], (key, ours[key], theirs[key])
    assert ours["mmap"] == large_heap
    blocks = {c["size"]: c["blocks"] for c in ours["classes"]}
    assert ours["counts"]["nested_entries"] > 0
    held = [heap for heap in ours["heaps"] if heap["held"]]
    assert len(held) >= 2 and sum(heap["slabs"] for heap in held) == ours["counts"]["slabs"]
    names = {heap["name"] for heap in held}
    # In the static mode no system call says a thread's id.
    assert names >= ({"watched", "sleeper"} if large_heap else {"a thread"}), names
    return ours, blocks, held


def check_causes(ours):
    """What is in use is all accounted for, and top shows each cause."""
    causes = ["away", "free_blocks", "left_out", "uncarved", "tails", "kept", "heaps"]
    memory, waste = ours["memory"], ours["waste"]
    assert memory["live"] + sum(waste[cause] for cause in causes) == memory["used"], ours
    marked = {cause: 10 + i for i, cause in enumerate(causes + ["dirty", "clean"])}
    shown = list(text.summary({**ours, "waste": marked}))
    assert shown[3] == "now   " + "".join(f"{i:8}" for i in marked.values()), shown


def check_text(watched):
    report = run("report", watched.process)
    assert re.match(r"aomalloc: the heap of process \d+ \(watched, \w+\), seen ", report), report
    assert re.search(r"^ 1,024 +\d+ +500 +", report, re.M), report
    once = run("top", "--once", watched.process)
    assert once.startswith(f"aomalloc top: process {watched.process} (watched), "), once
    assert max(map(len, once.splitlines())) < 80, once
    assert re.search(r"^ 9,216 +\d+ +20 ", once, re.M), once
    classes = [line.split() for line in once.split("\n\n")[1].splitlines()[1:]]
    assert classes[0][0] == "1,024", "the class that holds most comes first"


def check_core(watched):
    core = f"{FOLDER}/core"
    subprocess.run(["gdb", "-nx", "-batch", "-p", watched.process, "-ex",
                    f"generate-core-file {core}"], check=True, capture_output=True)
    ours = json.loads(run("report", "--json", core))
    live = json.loads(run("report", "--json", watched.process))
    assert ours["memory"].pop("resident") is None
    live["memory"].pop("resident")
    for key in live:
        if key != "heaps":
            assert ours[key] == live[key], (key, ours[key], live[key])
    check_pointers(core, watched, WHAT)
    assert "500" in run("top", core)

    # The kernel leaves out most of a library, or all.
    with open(core, "rb") as whole:
        data = bytearray(whole.read())
    library = os.path.realpath(LIBRARY)
    base = next(base for base, path in Core(core).images() if path == library)
    headers, = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    for at in range(headers, headers + count * size, size):
        if struct.unpack_from("<Q", data, at + 16)[0] == base:
            struct.pack_into("<Q", data, at + 32, 0)
    kernels, lacking = f"{FOLDER}/kernels", f"{FOLDER}/lacking"
    with open(kernels, "wb") as file:
        file.write(data)
    assert json.loads(run("report", "--json", kernels)) == {**ours, "memory": {
        **ours["memory"], "resident": None}}
    with open(lacking, "wb") as file:
        file.write(data.replace(library.encode(), library.encode()[:-2] + b"!!"))
    refused(".*/lacking was made with .*!!, which is not here", "report", lacking)
    return core


class Torn(Memory):
    """Memory of which a few words are not what they are."""

    def __init__(self, memory, seed):
        self.memory, self.random = memory, random.Random(seed)
        self.from_now = False

    def part(self, address, size):
        data = self.memory.part(address, size)
        if not data or not self.from_now:
            return data
        data = bytearray(data)
        for at in range(0, len(data) - 7, 8):
            if self.random.random() < 0.002:
                value = self.random.choice((
                    0, self.random.getrandbits(64), self.random.getrandbits(47) & ~0xF,
                    struct.unpack_from("<Q", data, at)[0] ^ 1 << self.random.randrange(48)))
                struct.pack_into("<Q", data, at, value)
        return bytes(data)

    def images(self):
        return self.memory.images()


def check_torn(core, watched):
    """Whatever is read, there is an answer, and soon."""
    heap = Heap(Core(core))
    one, other = int(watched.pointers["live"], 0), int(watched.pointers["freed"], 0)
    outside = int(watched.pointers["of_program"], 0)
    heap.next = {one: other, other: one}.get
    assert list(heap.chain(one)) == [one, other], "a list that leads into itself"
    heap.next = {one: outside}.get
    assert list(heap.chain(one)) == [one], "a list that leads out of the heap"
    heap.next = {one: other + 1}.get
    assert list(heap.chain(one)) == [one], "a list that leads between blocks"
    for seed in range(60):
        memory = Torn(Core(core), seed)
        heap = Heap(memory)
        memory.from_now = True
        start = time.process_time()
        heap.read()
        counted = figures.count(heap)
        assert list(text.report(counted)) and list(text.summary(counted, None))
        for address in watched.pointers.values():
            assert heap.what(int(address, 0))
        assert time.process_time() - start < 60, seed


def check_refusals(watched, core):
    for one in ("top", "report"):
        refused("there is no process 999999999", one, "999999999")
        refused("there is no process 0", one, "0")
        refused(r"process \d+ \(python3[.\d]*\) has no aomalloc", one, str(os.getpid()))
        refused(".*/no-such-file: No such file or directory", one, f"{FOLDER}/no-such-file")
        refused(".* is not a core dump", one, WATCHED)
        refused(".* is not a core dump", one, FOLDER)
    refused("the live view needs a terminal; --once prints it once", "top", watched.process)
    for wrong in ((), ("no-such",), ("report",), ("what", "1"), ("what", "1", "x"),
                  ("top", "--delay", "0", "1"), ("report", "--no-such", "1")):
        assert "usage" in run(*wrong, status=2), wrong
    assert run("top", "--help").startswith("usage: aomalloc top ")

    cut = f"{FOLDER}/cut"
    with open(core, "rb") as whole, open(cut, "wb") as part:
        part.write(whole.read(5000))
    assert run("report", cut, status=1).startswith("aomalloc: ")

    # Without the right: as another user, or of another user.
    process = watched.process if os.geteuid() == 0 else "1"
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        said = io.StringIO()
        with redirect_stderr(said), redirect_stdout(said):
            status = command.main(["report", process])
        os.write(write, f"{status} {said.getvalue()}".encode())
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    said = os.read(read, 4096).decode()
    assert re.fullmatch(r"1 aomalloc: may not look into process \d+ \(.*\) \(.*\)\n", said), said


def check_version():
    """A library with another layout, and one that was deleted."""
    other = f"{FOLDER}/libother.so"
    with open(LIBRARY, "rb") as file:
        data = bytearray(file.read())
    listed = subprocess.run(["nm", "-D", LIBRARY], check=True, capture_output=True, text=True)
    address = int(re.search(r"^(\w+) . aomalloc_layout$", listed.stdout, re.M)[1], 16)
    headers = subprocess.run(["readelf", "-lW", LIBRARY], check=True, capture_output=True,
                             text=True).stdout
    for offset, start, size in re.findall(r"LOAD +(\w+) (\w+) \w+ (\w+)", headers):
        at = address - int(start, 16)
        if 0 <= at < int(size, 16):
            place = int(offset, 16) + at
    assert struct.unpack_from("<Q", data, place)[0] == VERSION
    for version, said in ((VERSION + 1, str(VERSION + 1)), (1 << 40, "4 or older")):
        struct.pack_into("<Q", data, place, version)
        with open(other, "wb") as file:
            file.write(data)
        with Watched("other", other) as watched:
            refused(rf"process \d+ \(watched\): its aomalloc has layout {said}; "
                    f"this command knows layout {VERSION}", "report", watched.process)
        os.unlink(other)
    struct.pack_into("<Q", data, place, VERSION)
    with open(other, "wb") as file:
        file.write(data)
    with Watched("deleted", other) as watched:
        os.unlink(other)
        assert "500" in run("top", "--once", watched.process)


def check_view(watched):
    """What the keys do, without a terminal."""
    view = screen.View(Heap(Process(int(watched.process))))
    view.read()
    view.read()
    for table, key in ((text.CLASSES, "c"), (text.HEAPS, "h")):
        assert view.press(ord(key)) and view.table is table
        for _ in table.columns:
            assert view.press(ord(">"))
            column = table.columns[view.columns[table]]
            rows = [row[column.key] for row in
                    table.sorted(table.rows(view.now, view.old), column, view.reverse)]
            rows = [row for row in rows if row is not None]
            assert rows == sorted(rows, reverse=not column.left), (column.title, rows)
            assert f"*{column.title}"[:column.width - 1] in view.lines(24)[0][8]
    view.press(ord("c"))
    lines, heading = view.lines(24)
    assert len(lines) == 24 and lines[heading].split()[0].endswith("class")
    assert max(map(len, lines)) < 80, lines
    few, _ = view.lines(heading + 4)  # two of its rows
    view.press(screen.curses.KEY_NPAGE)
    assert view.lines(heading + 4)[0][heading + 1] == lines[heading + 3], "not scrolled"
    view.press(screen.curses.KEY_UP)
    assert view.lines(heading + 4)[0][heading + 1] == lines[heading + 2], "not scrolled back"
    view.press(screen.curses.KEY_HOME)
    assert view.lines(heading + 4)[0][1:] == few[1:]
    for height in range(1, 60):
        view.press(screen.curses.KEY_END)
        assert view.lines(height)
    assert not view.press(ord("q"))


class Terminal:
    """top in a terminal."""

    def __init__(self, process, term="xterm", rows=24, columns=80):
        # What the terminal is like before: of the slave, which stays open.
        self.master, self.slave = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(self.slave)
        self.seen = b""
        self.child = subprocess.Popen(
            [f"{SCRIPTS}/heap", "top", "--delay", "0.1", process], stdin=self.slave,
            stdout=self.slave, stderr=self.slave, env={**os.environ, "TERM": term},
            preexec_fn=self.lead)

    def lead(self):
        os.setsid()
        fcntl.ioctl(self.slave, termios.TIOCSCTTY, 0)

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def until(self, pattern):
        """Reads on until the pattern has come."""
        self.seen = b""
        while not re.search(pattern, self.seen):
            self.seen += os.read(self.master, 4096)

    def type(self, keys):
        os.write(self.master, keys)

    def end(self, status=0):
        # Its last words, which must not block it: it may write much.
        while self.child.poll() is None:
            os.set_blocking(self.master, False)
            try:
                self.seen += os.read(self.master, 4096)
            except BlockingIOError:
                time.sleep(0.01)
        os.set_blocking(self.master, True)
        assert self.child.returncode == status, (self.child.returncode, self.seen)
        assert termios.tcgetattr(self.slave) == self.before, "the terminal was not restored"
        os.close(self.slave)
        try:
            while more := os.read(self.master, 4096):
                self.seen += more
        except OSError:
            pass  # the end
        os.close(self.master)
        return self.seen


def check_terminal(watched):
    view = Terminal(watched.process)
    view.until(rb"aomalloc top: process \d+ \(watched\).*resident.*1,024.*quit")
    assert termios.tcgetattr(view.slave) != view.before
    view.type(b"h")
    view.until(b"held by.*sleeper")
    # Of what follows only what has changed is written: text may come in parts.
    view.type(b"<>rc")
    # Keys that mean nothing, and escape sequences: pages and arrows.
    view.type(b"xyz\x1b[6~\x1b[5~\x1b[A\x1b[B\x1bOA\x1bOB\x1b[H\x1b[F \t\r")
    for rows, columns in ((60, 200), (5, 10), (2, 500), (24, 80)):
        view.resize(rows, columns)
        view.until(b".")
    view.type(b"cq")
    assert b"\x1b[?1049l" in view.end(), "the screen was not given back"

    for rows, columns in ((1, 1), (3, 7), (9, 500)):
        view = Terminal(watched.process, rows=rows, columns=columns)
        view.until(b"\x1b")
        view.type(b"hq")
        view.end()

    # Ended by a signal, and by the end of the process.
    view = Terminal(watched.process)
    view.until(b"quit")
    view.child.send_signal(signal.SIGTERM)
    view.end(128 + signal.SIGTERM)
    with Watched("ends", LIBRARY) as other:
        view = Terminal(other.process)
        view.until(b"quit")
    assert b"has ended" in view.end(1)
    assert b"this terminal is not known" in Terminal(watched.process, "no-such").end(1)


def check_container():
    """In namespaces of its own, where it is process 1; its library has gone since."""
    unshare = ["unshare", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*unshare, "true"], check=False).returncode:
        print("no container: namespaces are refused here")
        return
    gone = f"{FOLDER}/gone.so"
    shutil.copyfile(LIBRARY, gone)
    with Watched("container", gone, within=unshare) as watched:
        os.remove(gone)
        with open(f"/proc/{watched.process}/status", encoding="utf-8") as status:
            assert re.search(r"^NSpid:.*\t1$", status.read(), re.M), "no container"
        check_pointers(watched.process, watched, WHAT)
        check_text(watched)


def maps_of(process):
    with open(f"/proc/{process}/maps", encoding="utf-8") as maps:
        return maps.read()


def check_without_first_thread():
    """What /proc shows of the process is empty then, but for its other threads."""
    with Watched("first", LIBRARY, arguments=["leave"]) as watched:
        while maps_of(watched.process):
            pass  # who opened that file before the thread left goes on reading it
        check_pointers(watched.process, watched, {name: WHAT[name] for name in ("live", "inside")})
        check_text(watched)


def main():
    with Watched("static", LIBRARY, "0") as watched:
        _, blocks, _ = check_figures(watched, False)
        assert 500 <= blocks[1024] <= 502 and 20 <= blocks[9216] <= 22, blocks
        check_pointers(watched.process, watched, WHAT)
        check_text(watched)
    with Watched("hardened", HARDENED) as watched:
        check_figures(watched, True)
        check_pointers(watched.process, watched, WHAT_HARDENED)
    with Watched("mmap", LIBRARY) as watched:
        ours, blocks, held = check_figures(watched, True)
        assert 500 <= blocks[1024] <= 502 and 20 <= blocks[9216] <= 22, blocks
        sleeper = next(heap for heap in held if heap["name"] == "sleeper")
        assert 50 * 320 <= sleeper["block_bytes"] < 60 * 320 + 8192, sleeper
        waits = sum(heap["waiting"] for heap in held if heap["slab_bytes"] > 500 << 10)
        assert sleeper["kept"] + sleeper["outbox"] + waits * 512 == 64 * 512, held
        assert ours["waste"]["away"] >= 64 * 512
        check_causes({**ours, "memory": {**ours["memory"], "resident": 0}})
        check_pointers(watched.process, watched, WHAT)
        check_text(watched)
        core = check_core(watched)
        check_torn(core, watched)
        check_refusals(watched, core)
        check_view(watched)
        check_terminal(watched)
    check_container()
    check_without_first_thread()
    check_version()


main()
