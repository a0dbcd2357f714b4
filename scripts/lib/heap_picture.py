"""heap_picture.py REPORT PICTURE: draws the last report in a file, for scripts/heapmap."""

import collections
import json
import math
import sys

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Patch

PIXELS = 8  # of a unit, each way
MOST_CLASSES = 30  # bars
# What is not a slab is grey, and told apart by its pattern: of the legend, and of pixels.
OTHERS = {
    "span": (0.35, "", "spans: large blocks"),
    "own": (0.35, "....", "heaps of threads"),
    "kept": (0.75, "----", "kept for the next slabs and spans"),
    "dirty": (0.85, "////", "free, not given back yet"),
    "clean": (0.94, "", "free or not mapped: no memory behind it"),
}
PATTERNS = {
    "": lambda y, x: False,
    "....": lambda y, x: y % 4 in (2, 3) and x % 4 in (2, 3),
    "----": lambda y, x: y % 4 == 2,
    "////": lambda y, x: (x + y) % 4 == 0,
}
LINE = 0.55  # how grey a pattern is on pale, and white on dark


def read_report(path):
    try:
        with open(path, encoding="utf-8") as lines:
            report = json.loads(lines.readlines()[-1])
        report["arenas"] = [a for a in report["arenas"] if without_end(a["runs"])]
    except OSError as error:
        sys.exit(f"aomalloc: {error}")
    except (ValueError, KeyError, IndexError, TypeError):
        sys.exit("aomalloc: not a report in JSON (AO_MALLOC_STATS_FORMAT=json)")
    if not report["arenas"]:
        sys.exit("aomalloc: nothing is in use")
    return report


def size_text(size):
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            return f"{size:.0f} {unit}" if size >= 10 or size == int(size) else f"{size:.1f} {unit}"
        size /= 1024


def color_of_class(size):
    # 16 bytes to 32 KiB, from dark blue to yellow: the larger the lighter, so that it can be
    # told without colours.
    return np.array(plt.get_cmap("viridis")(0.1 + 0.82 * (math.log2(size) - 4) / 11)[:3])


def line_on(grey):
    return LINE if grey > LINE else 1


def cell(run):
    """A unit's picture: filled from below as far as its blocks are in use, and from
    above with what was given back."""
    pixels = np.empty((PIXELS, PIXELS, 3))
    if run[0] == "slab":
        _, _, size, blocks, _, capacity, left_out = run
        color = color_of_class(size)
        pixels[:] = 0.25 * color + 0.75
        pixels[:round(PIXELS * left_out / max(capacity, 1))] = OTHERS["clean"][0]
        full = round(PIXELS * blocks / max(capacity, 1))
        if blocks and not full:
            full = 1
        if full:
            pixels[PIXELS - full:] = color
    else:
        grey, hatch, _ = OTHERS[run[0]]
        for y in range(PIXELS):
            for x in range(PIXELS):
                pixels[y, x] = line_on(grey) if PATTERNS[hatch](y, x) else grey
    return pixels


def without_end(runs):
    """All but what is free for good behind the last run in use."""
    runs = list(runs)
    while runs and runs[-1][0] == "clean":
        runs.pop()
    return runs


def draw_arena(axes, arena):
    runs = without_end(arena["runs"])
    units = sum(run[1] for run in runs)
    columns = max(16, min(256, 2 ** round(math.log2(max(units, 1)) / 2)))
    rows = max(1, -(-units // columns))
    image = np.ones((rows * PIXELS, columns * PIXELS, 3))
    at = 0
    for run in runs:
        pixels = cell(run)
        for i in range(run[1]):
            y, x = divmod(at, columns)
            part = pixels.copy()
            if rows * columns <= 20000:  # lines between runs, unless too fine
                part[0] = 1
                if i == 0:
                    part[:, 0] = 1
            image[y * PIXELS:(y + 1) * PIXELS, x * PIXELS:(x + 1) * PIXELS] = part
            at += 1
    axes.imshow(image, interpolation="nearest", aspect="equal",
                extent=(0, columns, rows, 0))
    unit = arena["unit"]
    axes.set_title(f"arena at {arena['base']}: {units:,} units of {size_text(unit)}, "
                   f"{size_text(columns * unit)} a row", fontsize=10, loc="left")
    ticks = range(0, rows + 1, max(1, rows // 8))
    axes.set_yticks(list(ticks), [size_text(t * columns * unit) for t in ticks], fontsize=8)
    axes.set_xticks([])
    return rows / columns


def add_up(arenas):
    """By class, bytes in use and free in its slabs; by kind of run, all bytes."""
    classes = collections.defaultdict(lambda: [0, 0])
    bytes_of = collections.Counter()
    for arena in arenas:
        for run in arena["runs"]:
            size = run[1] * arena["unit"]
            bytes_of[run[0]] += size
            if run[0] == "slab":
                classes[run[2]][0] += run[3] * run[2]
                classes[run[2]][1] += size - run[3] * run[2]
    return classes, bytes_of


def draw_classes(bars, classes):
    largest = sorted(classes, key=lambda size: -sum(classes[size]))[:MOST_CLASSES]
    largest.sort(key=lambda size: (-classes[size][0], size))
    scale = 1 << 20 if sum(map(sum, classes.values())) >= 1 << 22 else 1 << 10
    for i, size in enumerate(largest):
        live, free = (value / scale for value in classes[size])
        color = color_of_class(size)
        bars.barh(i, live, color=color)
        bars.barh(i, free, left=live, color=0.25 * color + 0.75)
        live, free = map(size_text, classes[size])
        bars.annotate(f"{live}, {free} free", (sum(classes[size]) / scale, i), (3, 0),
                      textcoords="offset points", fontsize=8, va="center")
    # With room for the text of the longest.
    bars.set_xlim(0, 1.5 * max(map(sum, classes.values()), default=scale) / scale)
    bars.set_yticks(range(len(largest)), [f"{size:,}" for size in largest], fontsize=9)
    bars.set_ylim(len(largest) - 0.4, -0.6)
    few = f"{len(largest)} of " if len(largest) < len(classes) else ""
    bars.set_title(f"{few}{len(classes)} classes, by bytes in use (dark); free is pale",
                   fontsize=10, loc="left")
    bars.set_ylabel("size class, bytes")
    bars.set_xlabel("MiB" if scale == 1 << 20 else "KiB")
    for side in ("top", "right"):
        bars.spines[side].set_visible(False)


def patches(bytes_of):
    """What the colours mean."""
    for size in (16, 64, 256, 1024, 4096, 32768):
        yield Patch(facecolor=color_of_class(size), label=f"slab of {size_text(size)} blocks")
    yield Patch(facecolor="white", edgecolor="gray",
                label="slabs are filled from below as far as their blocks are in use")
    for kind, (grey, hatch, label) in OTHERS.items():
        if bytes_of[kind]:
            yield Patch(facecolor=str(grey), edgecolor=str(line_on(grey)), hatch=hatch,
                        linewidth=0, label=f"{label}: {size_text(bytes_of[kind])}")


def main(path, picture):
    report = read_report(path)
    arenas = report["arenas"]
    classes, bytes_of = add_up(arenas)

    plt.switch_backend("Agg")  # There may be no display.
    figure = plt.figure(figsize=(13, 8.5))
    heights = [max(1, sum(run[1] for run in without_end(a["runs"])) ** 0.5) for a in arenas]
    grid = figure.add_gridspec(len(arenas), 2, width_ratios=(2, 1), height_ratios=heights,
                               left=0.07, right=0.97, top=0.88, bottom=0.13,
                               wspace=0.16, hspace=0.25)
    for i, arena in enumerate(arenas):
        draw_arena(figure.add_subplot(grid[i, 0]), arena)
    draw_classes(figure.add_subplot(grid[:, 1]), classes)

    live = sum(value[0] for value in classes.values()) + bytes_of["span"]
    free = sum(value[1] for value in classes.values())
    used = live + free + bytes_of["kept"] + bytes_of["own"]
    figure.suptitle(f"The heap of process {report['process']} ({report['occasion']}): "
                    f"{size_text(live)} in blocks, of {size_text(used)} in use by the heap",
                    fontsize=13, x=0.07, ha="left")
    figure.legend(handles=list(patches(bytes_of)), loc="lower left",
                  bbox_to_anchor=(0.06, 0.005), ncol=4, fontsize=8.5, frameon=False)
    figure.savefig(picture, dpi=110)
    print(f"aomalloc: {picture}", file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
