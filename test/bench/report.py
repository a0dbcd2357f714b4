"""Writes the figures as Markdown, with plots beside."""

import os

import allocators
import plots
import rows as catalogue
from figures import Table

# Beside the figures; what is said there stays when the tables are written anew.
NOTES = "NOTES.md"


def number(value):
    """Three digits are what a median is worth."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.{1 if value >= 10 else 2 if value >= 1 else 3}f}"


def rows_of(count):
    return "1 row" if count == 1 else f"{count} rows"


class Report:
    def __init__(self, out, rows, columns, records, machine, command):
        self.out = out
        self.rows = rows
        measured = {record["allocator"]: None for record in records}
        self.columns = [column for column in columns if column.name in measured]
        known = {column.name for column in columns}
        self.columns += [allocators.Allocator(name, "", "from an earlier run")
                         for name in measured if name not in known]
        self.records = records
        self.machine = machine
        self.command = command
        self.lines = []
        self.notes = []

    def say(self, *lines):
        self.lines.extend(lines)

    def table(self, head, body):
        self.say("| " + " | ".join(head) + " |",
                 "| --- |" + " ---: |" * (len(head) - 1))
        self.say(*("| " + " | ".join(line) + " |" for line in body), "")

    def names(self):
        return [column.name for column in self.columns]

    def footnote(self, row, column, cell):
        note = f"{row.name}, {column.name}: {cell.failures[0]}"
        if note not in self.notes:
            self.notes.append(note)
        return f"failed [{self.notes.index(note) + 1}]"

    def absolute(self, table, row, column, scale):
        cell = table.cell(row, column)
        if cell is None:
            return "–"
        if not cell.counts:
            return self.footnote(row, column, cell) if cell.failures else "–"
        low, high = (number(value * scale) for value in cell.quartiles)
        text = number(cell.median * scale)
        return text if low == high else f"{text} ({low}–{high})"

    def ratio(self, table, row, column):
        found = table.relative(row, column)
        if found is None:
            cell = table.cell(row, column)
            return self.footnote(row, column, cell) if cell and cell.failures else "–"
        text = f"{found[0]:.2f}"
        least = min(ratio[0] for ratio in (table.relative(row, other) for other in
                                           self.columns if other.name != allocators.LIMIT)
                    if ratio)
        if column.name != allocators.LIMIT and found[0] == least:
            return f"**{text}**"
        return text

    def means(self, table):
        line = []
        for column in self.columns:
            mean, count = table.mean(column)
            if mean is None:
                line.append("–")
            else:
                fewer = "" if count == len(table.rows) else f" ({rows_of(count)})"
                line.append(f"{mean:.2f}{fewer}")
        return line

    def quantity(self, title, unit, table, scale=1.0):
        """The tables of one quantity: relative to the best peer, and as measured."""
        if any(table.best_peer(row) for row in table.rows):
            self.say(f"### {title}, relative to the best peer", "",
                     "Less is better. The least is in bold.", "")
            body = [[row.name] + [self.ratio(table, row, column) for column in self.columns]
                    for row in table.rows]
            self.table(["row"] + self.names(), body + [["geometric mean"] + self.means(table)])
        self.say(f"### {title}, as measured", "",
                 f"{unit}: median of the rounds (quartiles).", "")
        self.table(["row"] + self.names(),
                   [[row.name] + [self.absolute(table, row, column, scale)
                                  for column in self.columns] for row in table.rows])

    def make_table(self, rows, field):
        return Table(self.records, rows, self.columns, field)

    def picture(self, title, name):
        if name:
            self.say(f"![{title}]({name})", "")

    def group(self, key):
        group = catalogue.GROUPS[key]
        rows = [row for row in self.rows if row.group == key]
        table = self.make_table(rows, "value")
        if not table.rows:
            return
        self.say(f"## {group.heading}", "", group.what, "")
        self.picture(group.heading, plots.relative(self.out, key, group.heading, table))
        self.picture(f"{group.title} by threads", plots.sweep(self.out, key, group, table))
        self.quantity(group.quantity.capitalize(), group.unit, table)
        if group.fixed:
            heading = f"{group.title}: peak memory"
            resident = self.make_table(rows, "rss_kib")
            self.picture(heading, plots.relative(self.out, f"{key}-memory", heading, resident))
            self.quantity("Peak memory", "MiB of peak resident memory", resident, 1 / 1024)
            self.quantity("Page faults", "Thousands", self.make_table(rows, "minor_faults"),
                          1e-3)
        self.say("What the rows are:", "")
        meanings = {}
        for row in table.rows:
            meanings.setdefault(row.what, []).append(f"`{row.name}`")
        self.say(*(f"- {', '.join(names)}: {what}" for what, names in meanings.items()), "")

    def summary(self):
        self.say("## Geometric means", "",
                 "Each row counts the same. It is relative to the peer that is best in "
                 "it: 1 would be as good as the best peer in every row.", "")
        body, bars = [], []
        for key, group in catalogue.GROUPS.items():
            rows = [row for row in self.rows if row.group == key]
            for label, field in [(group.heading, "value")] + (
                    [(f"{group.title}: peak memory", "rss_kib"),
                     (f"{group.title}: page faults", "minor_faults")] if group.fixed else []):
                table = self.make_table(rows, field)
                if any(table.best_peer(row) for row in table.rows):
                    body.append([f"{label} ({rows_of(len(table.rows))})"] + self.means(table))
                    bars.append((label, [(column.name, table.mean(column)[0])
                                         for column in self.columns]))
        self.table(["group"] + self.names(), body)
        self.picture("Geometric means", plots.means(self.out, bars))
        self.say("All but aomalloc and bump are peers. bump never frees. It is a limit and "
                 "not a peer: it shows the least that a malloc can cost, and all memory that "
                 "a program goes through.", "")
        if os.path.exists(os.path.join(self.out, NOTES)):
            self.say(f"[{NOTES}]({NOTES}) has notes on this run, written by hand.", "")

    def described(self):
        self.say("## Where and how", "")
        self.say(*(f"- {what}: {value}" for what, value in self.machine))
        self.say(*(f"- {column.name}: {column.version}" for column in self.columns))
        self.say(f"- command: `{self.command}`", "")
        self.say("Each run is a process of its own with the allocator preloaded. In each "
                 "round all allocators run a row one after the other, in an order that "
                 "rotates, before the next row. Every row that was run is reported.", "")

    def write(self):
        self.say("# aomalloc beside other allocators", "")
        self.summary()
        for key in catalogue.GROUPS:
            self.group(key)
        if self.notes:
            self.say("## What failed", "",
                     "Left out of the mean of the allocator that it concerns.", "")
            self.say(*(f"{n + 1}. {note}" for n, note in enumerate(self.notes)), "")
        self.described()
        with open(os.path.join(self.out, "README.md"), "w", encoding="utf-8") as file:
            file.write("\n".join(self.lines))


def write(*arguments):
    Report(*arguments).write()
