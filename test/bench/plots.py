"""Plots of the figures, each as SVG and PNG."""

import os

import matplotlib.pyplot as plt
from matplotlib import ticker

import allocators

plt.switch_backend("Agg")  # There may be no display.

# A mark without a face is to be seen.
plt.rcParams["lines.markeredgewidth"] = 1.6

# Ours stands out, in black and white as the darkest. The others are told apart by
# their shapes; colour helps.
OURS_STYLE = ("#a50026", "D")
LIMIT_STYLE = ("#888888", "|")
PEER_STYLES = [("#3b8bc2", "o"), ("#2ca02c", "s"), ("#ff7f0e", "^"), ("#b08ad8", "v"),
               ("#b5836a", "P"), ("#17becf", "X"), ("#bcbd22", "<"), ("#e377c2", ">"),
               ("#8a8a8a", "*"), ("#4fb3a3", "h")]
PEER_BAR = "#b0b0b0"
LABELS = {allocators.OURS: f"{allocators.OURS} (this)",
          allocators.LIMIT: f"{allocators.LIMIT} (never frees)"}
COLUMNS = 6  # of a legend

# Times the best peer; what is beyond is told in words.
LEAST, MOST = 1 / 8, 8


def styles(names):
    peers = iter(PEER_STYLES * len(names))
    return {name: OURS_STYLE if name == allocators.OURS
            else LIMIT_STYLE if name == allocators.LIMIT else next(peers)
            for name in names}


def save(figure, out, name):
    """The file that Markdown is to show."""
    for kind in ("svg", "png"):
        figure.savefig(os.path.join(out, f"{name}.{kind}"), bbox_inches="tight", dpi=110)
    plt.close(figure)
    return f"{name}.svg"


def times(value):
    return f"{value:.2g}×" if value < 10 else f"{value:.0f}×"


def tick(value, _):
    return f"{value:g}×"


def legend(figure, looks, y):
    """Above `y`, in lines of 0.22 inches; returns how many."""
    lines = -(-len(looks) // COLUMNS)
    columns = -(-len(looks) // lines)
    names = list(looks)
    # A legend is filled by columns, and read by lines.
    names = [name for column in range(columns) for name in names[column::columns]]
    handles = [plt.Line2D([], [], color=looks[name][0], marker=looks[name][1], linestyle="",
                          label=LABELS.get(name, name)) for name in names]
    figure.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, y),
                  ncol=columns, frameon=False, handletextpad=0.2, columnspacing=1.4)
    return lines


def relative(out, name, title, table):
    """A line for each row, a mark for each allocator; the bars are quartiles."""
    rows = [row for row in table.rows if table.best_peer(row)]
    if not rows:
        return None
    looks = styles([column.name for column in table.columns])
    shown = {column.name: looks[column.name] for column in table.columns
             if any(table.relative(row, column) for row in rows)}
    figure, axes = plt.subplots(figsize=(10, 0.9 + 0.42 * len(rows)))
    lowest, highest = 0.8, 2.0
    for place, row in enumerate(rows):
        if place % 2:
            axes.axhspan(place - 0.5, place + 0.5, color="#f2f2f2", zorder=0)
        beyond = []
        for order, column in enumerate(table.columns):
            found = table.relative(row, column)
            if not found:
                cell = table.cell(row, column)
                if cell and cell.failures:
                    beyond.append(f"{column.name} failed")
                continue
            if not LEAST <= found[0] <= MOST:
                beyond.append(f"{column.name} {times(found[0])}")
                continue
            colour, mark = looks[column.name]
            y = place + 0.6 * (order / max(1, len(table.columns) - 1) - 0.5)
            median, low, high = (min(max(value, LEAST), MOST) for value in found)
            lowest, highest = min(lowest, low), max(highest, high)
            axes.plot([low, high], [y, y], color=colour, linewidth=1.2, zorder=2)
            axes.plot(median, y, mark, color=colour, clip_on=False,
                      markersize=8 if column.name == allocators.OURS else 6,
                      zorder=4 if column.name == allocators.OURS else 3)
        if beyond:
            axes.annotate(", ".join(beyond), (1, place), fontsize=8, va="center",
                          xycoords=("axes fraction", "data"), xytext=(6, 0),
                          textcoords="offset points", color="#444444")
    axes.axvline(1, color="black", linewidth=0.8, zorder=1)
    axes.set_xscale("log", base=2)
    axes.set_xlim(lowest / 1.1, highest * 1.1)
    axes.xaxis.set_major_locator(ticker.LogLocator(
        base=2, subs=(1, 1.5) if highest / lowest < 12 else (1,)))
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(tick))
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("times the best peer of the row: 1× is as good, further left is better\n"
                    "(marks are medians, lines reach from quartile to quartile)")
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    lines = legend(figure, shown, axes.get_position().y1)
    axes.set_title(title, pad=10 + 17 * lines)
    return save(figure, out, name)


def sweep(out, name, about, table):
    """For each workload that was run with several numbers of threads, how its time
    goes with them; null if there is none."""
    panels = {}
    for row in table.rows:
        panels.setdefault(row.name.rpartition("-")[0], []).append(row)
    panels = {work: rows for work, rows in panels.items() if len(rows) > 1}
    if not panels or all(row.threads == 1 for row in table.rows):
        return None
    looks = styles([column.name for column in table.columns
                    if column.name != allocators.LIMIT])
    wide = min(4, len(panels))
    high = (len(panels) + wide - 1) // wide
    figure, axes = plt.subplots(high, wide, squeeze=False, figsize=(3.2 * wide, 2.7 * high))
    for unused in axes.flat[len(panels):]:
        unused.axis("off")
    for panel, (work, rows) in zip(axes.flat, panels.items()):
        for column in table.columns:
            cells = [(row.threads, table.cell(row, column)) for row in rows]
            cells = [(threads, cell) for threads, cell in cells if cell and cell.counts]
            if not cells or column.name not in looks:
                continue
            colour, mark = looks[column.name]
            ours = column.name == allocators.OURS
            panel.plot([threads for threads, _ in cells], [cell.median for _, cell in cells],
                       color=colour, marker=mark, markersize=6 if ours else 4,
                       linewidth=2 if ours else 1, zorder=3 if ours else 2)
        panel.set_title(work, fontsize=10)
        panel.set_xscale("log", base=2)
        panel.set_xticks([row.threads for row in rows], [str(row.threads) for row in rows])
        panel.minorticks_off()
        panel.set_ylim(bottom=0)
        panel.grid(axis="y", color="#dddddd", linewidth=0.6)
        panel.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"{about.heading}, by threads", fontsize=12)
    figure.supxlabel("threads, which share the same work", fontsize=10)
    figure.supylabel("seconds: less is better", fontsize=10)
    figure.tight_layout()
    legend(figure, looks, 1.0)
    return save(figure, out, f"{name}-threads")


def means(out, bars):
    """A panel for each group; `bars` are (title, [(allocator, mean or null)])."""
    if not bars:
        return None
    names = [name for name, _ in bars[0][1]]
    wide = min(3, len(bars))
    high = (len(bars) + wide - 1) // wide
    figure, axes = plt.subplots(high, wide, squeeze=False, figsize=(
        4.2 * wide, 0.6 + (0.26 * len(names) + 0.8) * high))
    for unused in axes.flat[len(bars):]:
        unused.axis("off")
    top = MOST / 2  # of each panel, so that they can be compared
    for panel, (title, values) in zip(axes.flat, bars):
        for place, (name, value) in enumerate(values):
            length = min(value or 0, top)
            panel.barh(place, length, height=0.7,
                       color=OURS_STYLE[0] if name == allocators.OURS else PEER_BAR)
            cut = "» " if length == top else ""  # the bar is too long to show
            panel.text(length + 0.02 * top, place,
                       f"{cut}{value:.2f}" if value else "not measured", va="center",
                       fontsize=9, bbox={"color": "white", "pad": 0.5})
        panel.axvline(1, color="black", linewidth=0.8, zorder=0)
        panel.set_yticks(range(len(names)), [LABELS.get(name, name) for name in names],
                         fontsize=9)
        panel.set_ylim(len(names) - 0.5, -0.5)
        panel.set_xlim(0, top * 1.15)
        panel.set_title(title, fontsize=10)
        panel.tick_params(axis="x", labelsize=8)
        panel.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.suptitle("Geometric means: how many times what the best peer of each row needs\n"
                    "(1, the line, is as good as the best in every row; shorter is better)",
                    fontsize=11, y=1, va="bottom")
    return save(figure, out, "means")
