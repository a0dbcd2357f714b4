"""Runs a program under qemu with the plugin, and reads what it says."""

import bisect
import dataclasses
import json
import os
import platform
import subprocess
import tempfile

QEMU = f"/usr/bin/qemu-{platform.machine()}"

# As counts.cc has them.
KINDS = ["allocator", "blocks", "stacks", "program"]


class Failed(Exception):
    """Why there is no report."""


@dataclasses.dataclass(frozen=True)
class Sum:
    transfers: int = 0
    invalidations: int = 0

    def __add__(self, other):
        return Sum(self.transfers + other.transfers,
                   self.invalidations + other.invalidations)

    def __sub__(self, other):
        return Sum(self.transfers - other.transfers,
                   self.invalidations - other.invalidations)


class Symbols:
    """The names of a file's functions and variables, by their addresses."""

    def __init__(self, path):
        self.starts, self.names = [], []
        found = {}
        for table in (["-D"], []):  # What has been stripped has the first alone.
            lines = subprocess.run(["nm", "-C", "-S", "--defined-only"] + table + [path],
                                   capture_output=True, text=True, check=False).stdout
            for line in lines.splitlines():
                address, size, *rest = line.split(maxsplit=3)
                if len(rest) == 2 and len(rest[0]) == 1:
                    found[int(address, 16)] = (int(size, 16), rest[1])
        for start, (size, name) in sorted(found.items()):
            self.starts.append(start)
            self.names.append((start + size, name))

    def at(self, address, size):
        """The names of what lies there, or of what is before."""
        first = max(bisect.bisect_right(self.starts, address) - 1, 0)
        last = bisect.bisect_left(self.starts, address + size)
        return [name for end, name in self.names[first:last] if end > address]


class Report:
    """What the plugin has written."""

    symbols = {}  # by path

    def __init__(self, words):
        self.words = words
        self.objects = words["objects"]
        self.exchanged = words["exchanged"]
        self.files = sorted((file["base"], file["path"]) for file in words["files"])

    def sum(self, kind, where=("inside", "outside"), second_half=False):
        """The traffic of lines of this kind, while threads were inside the
        allocator, or outside. `second_half`: of the second half of all objects."""
        total = Sum()
        for one in where:
            total += Sum(**self.words["sums"][f"{kind} {one}"])
            if second_half:
                total -= Sum(**self.words["sums at half"][f"{kind} {one}"])
        return total

    def objects_counted(self, second_half=False):
        return self.objects - (self.words["half"] if second_half else 0)

    def names(self, address, size=1):
        """What the program, or a library of it, has at an address."""
        index = bisect.bisect_right(self.files, (address, "\x7f")) - 1
        if index < 0:
            return []
        base, path = self.files[index]
        if path not in self.symbols:
            self.symbols[path] = Symbols(path)
        return self.symbols[path].at(address - base, size)

    def line(self, variable):
        """The traffic of the line that begins with this variable."""
        found = Sum()
        for line in self.words["lines"]:
            if any(self.is_called(name, variable) for name in self.names(line["address"], 64)):
                found += Sum(line["transfers"], line["invalidations"])
        return found

    @staticmethod
    def is_called(name, variable):
        return name.rpartition("::")[2] == variable


@dataclasses.dataclass(frozen=True)
class Instrument:
    plugin: str
    announce: str

    def run(self, command, allocator=None, variables=(), timeout=600):
        """A report of a command; `allocator` is the path of a library."""
        with tempfile.TemporaryDirectory(prefix="aomalloc-transfers.") as work:
            out = os.path.join(work, "report")
            preloaded = [self.announce] + ([allocator] if allocator else [])
            plugin = f"{self.plugin},out={out}"
            if allocator:
                plugin += f",allocator={os.path.realpath(allocator)}"
            words = {"LD_PRELOAD": ":".join(preloaded), **dict(variables)}
            call = [QEMU, "-plugin", plugin]
            for name, value in words.items():
                call += ["-E", f"{name}={value}"]
            try:
                done = subprocess.run(call + command, stdin=subprocess.DEVNULL,
                                      capture_output=True, text=True, check=False,
                                      timeout=timeout,
                                      env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"})
            except subprocess.TimeoutExpired:
                raise Failed(f"not done after {timeout} s") from None
            if done.returncode != 0 or done.stderr:
                raise Failed(f"exit status {done.returncode}: {done.stderr.strip()}")
            with open(out, encoding="utf-8") as file:
                return Report(json.load(file))
