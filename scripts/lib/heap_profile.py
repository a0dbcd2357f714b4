"""Reads heap profiles, as AO_MALLOC_PROFILE has them written, and names functions."""

import bisect
import collections
import math
import os
import re
import subprocess


def size_text(size):
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024


def output(*arguments):
    run = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False,
                         env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"})
    return run.stdout.decode(errors="replace")


def short_name(name):
    """A function of C++ without what every string and container has in its name."""
    name = name.replace("std::__cxx11::", "std::").replace(
        "std::basic_string<char, std::char_traits<char>, std::allocator<char> >", "std::string")
    for usual in (", std::allocator<", ", std::less<"):
        while usual in name:
            start = end = name.index(usual)
            end += len(usual)
            depth = 1
            while depth and end < len(name):
                depth += {"<": 1, ">": -1}.get(name[end], 0)
                end += 1
            name = name[:start] + name[end:]
    return name.replace(" >", ">")


class Binary:
    """The functions of a file.

    pprof takes the next symbol below an address, however far; what is in none is given
    the file's name here.
    """

    def __init__(self, path):
        self.name = os.path.basename(path)
        self.loads = []
        for line in output("readelf", "-lW", path).splitlines():
            word = line.split()
            if word[:1] == ["LOAD"]:
                offset, address, _, size = (int(w, 16) for w in word[1:5])
                self.loads.append((offset, size, address - offset))
        files = [(path,), ("-D", path)]
        build = re.search(r"Build ID: ([0-9a-f]{2})([0-9a-f]+)", output("readelf", "-nW", path))
        if build:
            files.append((f"/usr/lib/debug/.build-id/{build[1]}/{build[2]}.debug",))
        functions = {}
        for file in files:
            for line in output("nm", "-SC", "--defined-only", *file).splitlines():
                word = line.split(None, 3)
                if len(word) == 4 and word[2] in "TtWwi":
                    functions[int(word[0], 16)] = (int(word[1], 16),
                                                   short_name(word[3].split("@")[0]))
        self.starts = sorted(functions)
        self.functions = functions

    def name_at(self, offset, exact=False):
        """`exact`: where there is no name, its address in the file, as nm has it."""
        address = offset
        for start, size, distance in self.loads:
            if start <= offset < start + size:
                address = offset + distance
                i = bisect.bisect(self.starts, address) - 1
                size, name = self.functions[self.starts[i]] if i >= 0 else (0, "")
                if i >= 0 and address < self.starts[i] + size:
                    return name
        return f"[{self.name}+{address:#x}]" if exact else f"[{self.name}]"


binaries = {}


# Of a stack: estimated bytes, allocated and live; samples; of those that are live,
# the number and the bytes; addresses, innermost first.
Stack = collections.namedtuple(
    "Stack", "bytes live_bytes samples live live_sampled_bytes addresses")


class Profile:
    def __init__(self, path):
        self.process = os.path.basename(path)
        self.is_whole = False
        self.stacks = []
        self.maps = []
        self.program = None
        self.names = {}
        with open(path, encoding="utf-8", errors="replace") as lines:
            header = re.search(r"heap_v2/(\d+)$", next(lines, ""))
            if not header:
                return
            rate = int(header[1])
            for line in lines:
                counts = re.match(r"(\d+): (\d+) \[(\d+): (\d+)\] @(.*)", line)
                mapping = re.match(
                    r"([0-9a-f]+)-([0-9a-f]+) (....) ([0-9a-f]+) \S+ \S+ +(/.*)", line)
                if counts:
                    live, live_bytes, all_, all_bytes = map(int, counts.groups()[:4])
                    self.stacks.append(Stack(
                        self.estimate(all_, all_bytes, rate),
                        self.estimate(live, live_bytes, rate), all_, live, live_bytes,
                        [int(a, 16) for a in counts[5].split()]))
                elif line.startswith("MAPPED_LIBRARIES"):
                    self.is_whole = True
                elif mapping:
                    # The program itself is what is mapped first.
                    self.program = self.program or os.path.basename(mapping[5])
                    if "x" in mapping[3]:
                        start, end, offset = (int(mapping[i], 16) for i in (1, 2, 4))
                        self.maps.append((start, end, offset, mapping[5]))
        self.samples = sum(s.samples for s in self.stacks)
        self.bytes = sum(s.bytes for s in self.stacks)

    @staticmethod
    def estimate(count, size, rate):
        return size / -math.expm1(-size / count / rate) if size else 0

    def name_at(self, address, exact=False):
        if (address, exact) not in self.names:
            name = "[unknown]"
            for start, end, offset, path in self.maps:
                if start <= address < end:
                    if path not in binaries:
                        binaries[path] = Binary(path)
                    name = binaries[path].name_at(address - start + offset, exact)
            self.names[address, exact] = name
        return self.names[address, exact]

    def calls(self, addresses, exact=False):
        """Names of the functions, outermost first. If not exact, neighbours in a stripped
        file have one."""
        names = []
        for i, address in reversed(list(enumerate(addresses))):
            # All but the innermost are where a call returns to.
            name = self.name_at(address - (1 if i else 0), exact)
            if not (names and name.startswith("[") and names[-1] == name):
                names.append(name)
        return names
