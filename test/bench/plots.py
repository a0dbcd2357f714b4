"""Plots of the figures, each as SVG and PNG."""

import os

import matplotlib

matplotlib.use("Agg")
# pylint: disable=wrong-import-position
import matplotlib.pyplot as plt
from matplotlib import ticker

import allocators

# Ours stands out; the others are told apart by colour and shape.
OURS_STYLE = ("#d62728", "D")
LIMIT_STYLE = ("#999999", "|")
PEER_STYLES = [("#1f77b4", "o"), ("#2ca02c", "s"), ("#ff7f0e", "^"), ("#9467bd", "v"),
               ("#8c564b", "P"), ("#17becf", "X"), ("#bcbd22", "<"), ("#e377c2", ">")]
FARTHEST = 8  # Times the best peer; what is beyond is at the edge, with its number.


def styles(names):
    peers = iter(PEER_STYLES * len(names))
    return {name: OURS_STYLE if name == allocators.OURS
            else LIMIT_STYLE if name == allocators.LIMIT else next(peers)
            for name in names}


def save(figure, out, name):
    for kind in ("svg", "png"):
        figure.savefig(os.path.join(out, f"{name}.{kind}"), bbox_inches="tight", dpi=110)
    plt.close(figure)
    return f"{name}.svg"


def times(value, _):
    return f"{value:g}×"


def relative(out, name, title, table):
    """A line for each row, a mark for each allocator; the bars are quartiles."""
    names = [column.name for column in table.columns]
    looks = styles(names)
    rows = [row for row in table.rows if table.best_peer(row)]
    figure, axes = plt.subplots(figsize=(10, 1.6 + 0.34 * len(rows)))
    for place, row in enumerate(rows):
        if place % 2:
            axes.axhspan(place - 0.5, place + 0.5, color="#f4f4f4", zorder=0)
        for order, column in enumerate(table.columns):
            found = table.relative(row, column)
            if not found:
                continue
            colour, mark = looks[column.name]
            y = place + 0.5 * (order / max(1, len(names) - 1) - 0.5)
            x = min(max(found[0], 1 / FARTHEST), FARTHEST)
            ours = column.name == allocators.OURS
            axes.plot([max(found[1], 1 / FARTHEST), min(found[2], FARTHEST)], [y, y],
                      color=colour, linewidth=1.2, zorder=2)
            axes.plot(x, y, mark, color=colour, markersize=8 if ours else 6,
                      zorder=4 if ours else 3, clip_on=False)
            if found[0] > FARTHEST:
                axes.annotate(f" {found[0]:.0f}×", (x, y), color=colour, fontsize=7,
                              va="center", xytext=(5, 0), textcoords="offset points",
                              annotation_clip=False)
    axes.axvline(1, color="black", linewidth=0.8, zorder=1)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(times))
    axes.set_xlim(min([0.5] + [r[0] * 0.9 for r in ratios(table, rows)] + [0.5]), FARTHEST)
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("relative to the best peer of the row, further left is better")
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    handles = [plt.Line2D([], [], color=looks[n][0], marker=looks[n][1], linestyle="",
                          label=n) for n in names]
    axes.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1.0),
                ncol=len(names), frameon=False, fontsize=9, handletextpad=0.2,
                columnspacing=1.2)
    axes.set_title(title, pad=30)
    return save(figure, out, name)


def ratios(table, rows):
    return [found for row in rows for column in table.columns
            for found in [table.relative(row, column)]
            if found and found[0] >= 1 / FARTHEST]


def group(out, key, about, table):
    """File names of the plots of a group."""
    if not any(table.best_peer(row) for row in table.rows):
        return []
    return [relative(out, key, f"{about.title}: {about.quantity}", table)]


def memory(out, key, about, table):
    return relative(out, f"{key}-memory", f"{about.title}: peak memory", table)


def means(out, names, bars):
    """A panel for each group: bars of the geometric means."""
    looks = styles(names)
    wide = min(3, len(bars))
    high = (len(bars) + wide - 1) // wide
    figure, panels = plt.subplots(high, wide, squeeze=False,
                                  figsize=(4.2 * wide, 0.9 + (0.28 * len(names) + 0.7) * high))
    for panel in panels.flat[len(bars):]:
        panel.axis("off")
    for panel, (label, values) in zip(panels.flat, bars):
        for place, (name, value) in enumerate(zip(names, values)):
            if value is None:
                continue
            panel.barh(place, min(value, FARTHEST / 2), color=looks[name][0], height=0.7,
                       alpha=1 if name == allocators.OURS else 0.6)
            panel.text(min(value, FARTHEST / 2), place, f" {value:.2f}", va="center",
                       fontsize=8)
        panel.axvline(1, color="black", linewidth=0.8)
        panel.set_yticks(range(len(names)), names, fontsize=8)
        panel.set_ylim(len(names) - 0.5, -0.5)
        top = max(value for value in values if value is not None)
        panel.set_xlim(0, min(top, FARTHEST / 2) * 1.18)
        panel.set_title(label, fontsize=9)
        panel.tick_params(axis="x", labelsize=8)
        panel.spines[["top", "right"]].set_visible(False)
    figure.suptitle("Geometric mean over the rows, relative to the best peer of each row "
                    "(shorter is better)", fontsize=11)
    figure.tight_layout()
    return save(figure, out, "means")
