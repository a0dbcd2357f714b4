"""flame_graphs.py PICTURE FOLDER COMMAND: draws the profiles in a folder.

They are those of COMMAND and of the processes that it started, which
scripts/profile had write them, each to a file with its process id for a name.
"""

import collections
import html
import os
import re
import sys
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from heap_profile import Profile, size_text  # noqa: E402

MOST = 12  # profiles that are drawn, of the processes that allocated most
WIDTH, ROW, FONT, MARGIN = 1200, 17, 11, 10
NARROWEST = 1  # a bar that is drawn


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
    if width < NARROWEST:
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
        y = top + 26 + level * ROW
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
    for kind, what in (("bytes", "allocated, in all"), ("live_bytes", "live at the end")):
        total = Frame()
        for profile in drawn:
            process = f"{profile.program} (process {profile.process})"
            for stack in profile.stacks:
                calls = profile.calls(stack.addresses)
                total.add([process, *calls] if len(drawn) > 1 else calls,
                          getattr(stack, kind))
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
                 "program ended by _exit or a signal (AO_MALLOC_DUMP_SIGNAL=USR2 takes snapshots)")
    profiles.sort(key=lambda p: -p.bytes)
    drawn = profiles[:MOST]
    svg, y = draw_all(drawn)

    samples = sum(p.samples for p in drawn)
    more = len(profiles) - MOST
    others = f"; {more} more processes are not shown" if more > 0 else ""
    write(picture, f"Heap profile of {command}", f"estimated from {samples:,} samples{others}. ",
          svg, y)
    print(f"aomalloc: {picture}; profiles in {folder}", file=sys.stderr)


def write(picture, title, note, svg, y):
    """Writes flame graphs that end at `y` with what is to be said above them."""
    note += ("A bar is a function, as wide as the bytes that it and what it calls (the bars below "
             "it) asked for. [FILE] has no names. Colours mean nothing.")
    title = title if len(title) < 135 else title[:134] + "…"
    with open(picture, "w", encoding="utf-8") as file:
        file.write("\n".join([
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" '
            f'viewBox="0 0 {WIDTH} {y}" font-family="DejaVu Sans, Verdana, sans-serif" '
            f'font-size="{FONT}">',
            f'<rect width="{WIDTH}" height="{y}" fill="white"/>',
            f'<text x="{MARGIN}" y="20" font-size="15">{html.escape(title)}</text>',
            f'<text x="{MARGIN}" y="36" fill="#555">{html.escape(note)}</text>',
            *svg, "</svg>\n"]))


if __name__ == "__main__":
    main(*sys.argv[1:])
