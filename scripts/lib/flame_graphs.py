"""flame_graphs.py PICTURE FOLDER COMMAND: draws the profiles in a folder.

They are those of COMMAND and of the processes that it started, which
scripts/profile had write them, each to a file with its process id for a name.
"""

import bisect
import collections
import html
import math
import os
import re
import subprocess
import sys
import zlib

MOST = 12  # profiles that are drawn, of the processes that allocated most
WIDTH, ROW, FONT, MARGIN = 1200, 17, 11, 10


def size_text(size):
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024


def output(*arguments):
    run = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False,
                         env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"})
    return run.stdout.decode(errors="replace")


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
                    functions[int(word[0], 16)] = (int(word[1], 16), word[3].split("@")[0])
        self.starts = sorted(functions)
        self.functions = functions

    def name_at(self, offset):
        for start, size, distance in self.loads:
            if start <= offset < start + size:
                address = offset + distance
                i = bisect.bisect(self.starts, address) - 1
                size, name = self.functions[self.starts[i]] if i >= 0 else (0, "")
                if i >= 0 and address < self.starts[i] + size:
                    return name
        return f"[{self.name}]"


binaries = {}


class Profile:
    def __init__(self, path):
        self.process = os.path.basename(path)
        self.stacks = []  # allocated and live bytes, addresses
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
                    self.stacks.append((self.estimate(all_, all_bytes, rate),
                                        self.estimate(live, live_bytes, rate), all_,
                                        [int(a, 16) for a in counts[5].split()]))
                elif mapping:
                    # The program itself is what is mapped first.
                    self.program = self.program or os.path.basename(mapping[5])
                    if "x" in mapping[3]:
                        start, end, offset = (int(mapping[i], 16) for i in (1, 2, 4))
                        self.maps.append((start, end, offset, mapping[5]))
        self.samples = sum(s[2] for s in self.stacks)
        self.bytes = sum(s[0] for s in self.stacks)

    @staticmethod
    def estimate(count, size, rate):
        return size / -math.expm1(-size / count / rate) if size else 0

    def name_at(self, address):
        if address not in self.names:
            self.names[address] = "[unknown]"
            for start, end, offset, path in self.maps:
                if start <= address < end:
                    if path not in binaries:
                        binaries[path] = Binary(path)
                    self.names[address] = binaries[path].name_at(address - start + offset)
        return self.names[address]

    def calls(self, addresses):
        """Names of the functions, outermost first; one for neighbours in a stripped file."""
        names = []
        for i, address in reversed(list(enumerate(addresses))):
            # All but the innermost are where a call returns to.
            name = self.name_at(address - (1 if i else 0))
            if not (names and name.startswith("[") and names[-1] == name):
                names.append(name)
        return names


class Frame:
    def __init__(self):
        self.bytes = 0
        self.callees = collections.defaultdict(Frame)

    def add(self, calls, count):
        frame = self
        frame.bytes += count
        for call in calls:
            frame = frame.callees[call]
            frame.bytes += count


def color(name):
    # The same in every picture; warm, and pale enough for black letters.
    shade = zlib.crc32(re.sub(r"[<(].*", "", name).encode()) & 0xFFFF
    return f"rgb({225 + shade % 30},{120 + shade // 30 % 100},{60 + shade // 3000 % 22 * 2})"


def draw(frame, name, left, level, scale, rectangles):
    """Appends what is to be drawn of a frame and its callees; returns the highest level."""
    width = frame.bytes * scale
    if width < 0.4:
        return level - 1
    rectangles.append((left, level, width, name, frame.bytes))
    highest = level
    for callee in sorted(frame.callees):
        child = frame.callees[callee]
        highest = max(highest, draw(child, callee, left, level + 1, scale, rectangles))
        left += child.bytes * scale
    return highest


def graph(root, title, top):
    """The SVG of a flame graph whose upper edge is at `top`; and its lower edge."""
    rectangles = []
    scale = (WIDTH - 2 * MARGIN) / max(root.bytes, 1)
    levels = draw(root, "all", MARGIN, 0, scale, rectangles) + 1
    bottom = top + 26 + levels * ROW
    out = [f'<text x="{MARGIN}" y="{top + 14}" font-size="14" font-weight="bold">'
           f"{html.escape(title)}</text>"]
    for left, level, width, name, count in rectangles:
        y = bottom - (level + 1) * ROW
        label = f"{name} ({size_text(count)}, {100 * count / root.bytes:.1f} %)"
        out.append(f'<g><title>{html.escape(label)}</title><rect x="{left:.1f}" y="{y}" '
                   f'width="{max(width - 0.5, 0.3):.1f}" height="{ROW - 1}" fill="{color(name)}"/>')
        letters = int((width - 6) / (FONT * 0.6))
        if letters >= 3:
            text = label if len(label) <= letters else name
            if len(text) > letters:
                text = text[:letters - 1] + "…"
            out.append(f'<text x="{left + 3:.1f}" y="{y + ROW - 5}">{html.escape(text)}</text>')
        out.append("</g>")
    return out, bottom


def draw_all(drawn):
    """The flame graphs of some profiles, below each other; and their lower edge."""
    svg, y = [], 44
    for kind, what in enumerate(("allocated, in all", "live at the end")):
        total = Frame()
        for profile in drawn:
            process = f"{profile.program} (process {profile.process})"
            for stack in profile.stacks:
                calls = profile.calls(stack[3])
                total.add([process, *calls] if len(drawn) > 1 else calls, stack[kind])
        part, y = graph(total, f"{what}: {size_text(total.bytes)}", y)
        svg += part
        y += 26
    return svg, y


def main(picture, folder, command):
    profiles = [Profile(os.path.join(folder, name)) for name in os.listdir(folder)
                if name.isdigit()]
    profiles = [p for p in profiles if p.stacks]
    if not profiles:
        sys.exit("aomalloc: no profile: too little was allocated for a sample (--rate), or the "
                 "program ended by _exit or a signal")
    profiles.sort(key=lambda p: -p.bytes)
    drawn = profiles[:MOST]
    svg, y = draw_all(drawn)

    samples = sum(p.samples for p in drawn)
    more = len(profiles) - MOST
    others = f"; {more} more processes are not shown" if more > 0 else ""
    note = (f"estimated from {samples:,} samples{others}. A bar is a function: as wide as the "
            "bytes that it and what it calls (the bars on it) asked for; [FILE] has no names.")
    short = command if len(command) < 120 else command[:119] + "…"
    with open(picture, "w", encoding="utf-8") as file:
        file.write("\n".join([
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" '
            f'viewBox="0 0 {WIDTH} {y}" font-family="DejaVu Sans, Verdana, sans-serif" '
            f'font-size="{FONT}">',
            f'<rect width="{WIDTH}" height="{y}" fill="white"/>',
            f'<text x="{MARGIN}" y="20" font-size="15">Heap profile of {html.escape(short)}</text>',
            f'<text x="{MARGIN}" y="36" fill="#555">{html.escape(note)}</text>',
            *svg, "</svg>\n"]))
    print(f"aomalloc: {picture}; profiles in {folder}", file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
