"""What the heap consists of, for people; 80 columns are enough."""


def short(value, base=1024):
    """A number, of bytes if the base is 1024, in six characters."""
    if value is None:
        return "?"
    size = abs(value)
    for unit in ("", "K", "M", "G", "T"):
        if size < 999.5 or unit == "T":
            break
        size /= base
    text = f"{size:.1f}" if unit and size < 100 else f"{size:.0f}"
    return ("-" if value < 0 else "") + text + unit


def many(value):
    return short(value, 1000)


def change(value, base=1024):
    if value is None:
        return ""
    return ("+" if value > 0 else "") + short(value, base)


def change_of_count(value):
    return change(value, 1000)


def exact(value):
    return "?" if value is None else f"{value:,}"


def size(value):
    """As the library's reports have it, rounded down."""
    if value is None:
        return "?  "
    tenths = 0
    for unit in ("B  ", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            break
        value, tenths = value // 1024, value % 1024 * 10 // 1024
    return f"{value} {unit}" if unit == "B  " else f"{value}.{tenths} {unit}"


def share(part, whole):
    if not whole:
        return "-"
    tenths = part * 1000 // whole
    return f"{tenths // 10}.{tenths % 10} %"


def report(figures, program=None):
    """Yields lines like those of the library's report (heap_report_text.cc)."""
    memory, waste, counts = figures["memory"], figures["waste"], figures["counts"]
    about = ", ".join(filter(None, (program, "mmap" if figures["mmap"] else "static")))
    yield f"aomalloc: the heap of process {figures['process']} ({about}), {figures['occasion']}"
    yield ""
    yield f"{'memory':38}{'now  ':>17}{'peak  ':>17}".rstrip()
    for name, key, peak in (("in live blocks", "live", None),
                            ("in use by the heap", "used", "peak_used"),
                            ("resident", "resident", None), ("mapped", "mapped", None),
                            ("address space", "reserved", None)):
        most = size(memory[peak]) if peak else ""
        yield f"  {name:36}{size(memory[key]):>17}{most:>17}".rstrip()
    yield ""
    yield f"{'what is in use by the heap':38}{'bytes':>17}{'share  ':>17}".rstrip()
    for name, value in (("live blocks", memory["live"]),
                        ("freed elsewhere, on their way home", waste["away"]),
                        ("free blocks in slabs", waste["free_blocks"]),
                        ("the same, memory given back", waste["left_out"]),
                        ("never used in slabs", waste["uncarved"]),
                        ("too little for a block", waste["tails"]),
                        ("kept for the next slabs and spans", waste["kept"]),
                        ("heaps", waste["heaps"])):
        yield f"  {name:36}{size(value):>17}{share(value, memory['used']):>17}"
    yield "beside it"
    yield f"  {'free, not given back yet':36}{size(waste['dirty']):>17}".rstrip()
    yield f"  {'free, no memory behind it':36}{size(waste['clean']):>17}".rstrip()
    yield ""
    for name, value, as_text in (
            ("heaps", counts["heaps"], exact), ("  held by threads", counts["held_heaps"], exact),
            ("spans (blocks beyond the classes)", counts["spans"], exact),
            ("  their bytes", memory["spans"], size), ("slabs", counts["slabs"], exact),
            ("  their bytes", memory["slabs"], size),
            ("remote frees", counts["remote_frees"], exact),
            ("  blocks that wait for their owner", waiting(figures), exact),
            ("nested entries, from handlers", counts["nested_entries"], exact),
            ("purges", counts["purges"], exact),
            ("  bytes given back", counts["purged_bytes"], size)):
        yield f"{name:38}{as_text(value):>17}".rstrip()
    for table in (CLASSES, HEAPS):
        yield ""
        yield from table.without_rates().lines(table.rows(figures))


def waiting(figures):
    return sum(heap["waiting"] for heap in figures["heaps"])


class Column:
    """`key` of a row, as `text` of it says, in `width` characters."""

    def __init__(self, title, key, width, text=exact, left=False):
        self.title, self.key, self.width, self.text, self.left = title, key, width, text, left

    def cell(self, text):
        text = text[:self.width - 1] if self.left else text
        return f"{text:<{self.width}}" if self.left else f"{text:>{self.width}}"


class Table:
    def __init__(self, columns, rows):
        self.columns, self.rows = columns, rows

    def heading(self, marked=None):
        titles = (f"{'*' if column is marked else ''}{column.title}" for column in self.columns)
        return "".join(c.cell(t) for c, t in zip(self.columns, titles))

    def line(self, row):
        return "".join(c.cell(c.text(row[c.key])) for c in self.columns).rstrip()

    def lines(self, rows):
        yield self.heading()
        yield from (self.line(row) for row in rows)

    def without_rates(self):
        """What can be said of one moment."""
        return Table([c for c in self.columns if not c.key.endswith("_rate")], self.rows)

    def sorted(self, rows, column, reverse):
        """The largest first, and texts from a to z."""
        def key(row):
            value = row[column.key]
            return (value is not None, value if value is not None else 0)
        return sorted(rows, key=key, reverse=(not column.left) != reverse)


def rate(figures, old, of, key, value):
    """How fast a figure of a row changes."""
    if not old:
        return None
    before = next((row[value] for row in old[of] if row[key] == figures[key]), 0)
    return (figures[value] - before) / old["seconds"]


def class_rows(figures, old=None):
    for c in figures["classes"]:
        yield {
            **c, "live": c["blocks"] * c["size"],
            "idle": (c["capacity"] - c["blocks"]) * c["size"],
            "fill": c["blocks"] * 100 // max(c["capacity"], 1),
            "blocks_rate": rate(c, old, "classes", "size", "blocks"),
            "remote_rate": rate(c, old, "classes", "size", "remote_frees")}


def heap_rows(figures, old=None):
    for heap in figures["heaps"]:
        if not heap["held"] and not heap["slabs"] and not heap["waiting"]:
            continue  # it was never used
        yield {
            **heap,
            "back": heap["kept"] + heap["rations"] + heap["outbox"],
            "bytes_rate": rate(heap, old, "heaps", "heap", "block_bytes")}


CLASSES = Table([
    Column("class", "size", 6), Column("slabs", "slabs", 7), Column("blocks", "blocks", 10),
    Column("of", "capacity", 10), Column("fill", "fill", 6, lambda value: f"{value} %"),
    Column("bytes", "live", 7, short), Column("free", "idle", 7, short),
    Column("blocks/s", "blocks_rate", 9, change_of_count),
    Column("remote", "remote_frees", 8, many),
    Column("remote/s", "remote_rate", 9, change_of_count),
], class_rows)

HEAPS = Table([
    Column("heap", "heap", 16, str, left=True), Column("held by", "name", 15, str, left=True),
    Column("thread", "thread", 8, lambda value: str(value or "")),
    Column("slabs", "slabs", 7), Column("bytes", "block_bytes", 7, short),
    Column("bytes/s", "bytes_rate", 8, change), Column("held back", "back", 10, short),
    Column("waiting", "waiting", 8),
], heap_rows)


def summary(figures, old=None):
    """Yields the lines above the tables."""
    def row(label, columns, width=9):
        return f"{label:6}" + "".join(f"{text:>{width}}" for text in columns)

    memory, waste, counts = figures["memory"], figures["waste"], figures["counts"]
    names = "live", "used", "resident", "mapped", "slabs", "spans", "peak_used"
    titles = "live", "in use", "resident", "mapped", "slabs", "spans", "at most"
    yield row("", titles)
    yield row("now", (short(memory[name]) for name in names))
    if old:
        yield row("/s", (change((memory[name] - old["memory"][name]) / old["seconds"])
                         if memory[name] is not None and old["memory"][name] is not None else ""
                         for name in names))
    yield row("free", ("away", "blocks", "purged", "unused", "tails", "kept", "heaps",
                       "dirty", "clean"), 8)
    yield row("now", (short(waste[name]) for name in (
        "away", "free_blocks", "left_out", "uncarved", "tails", "kept", "heaps",
        "dirty", "clean")), 8)
    rates = {}
    for name in ("remote_frees", "nested_entries", "purges"):
        faster = (counts[name] - old["counts"][name]) / old["seconds"] if old else 0
        rates[name] = f" ({change_of_count(faster)}/s)" if faster else ""
    yield (f"{counts['heaps']} heaps, {counts['held_heaps']} held; "
           f"remote frees {exact(counts['remote_frees'])}{rates['remote_frees']}, "
           f"{exact(waiting(figures))} waiting")
    yield (f"nested entries {exact(counts['nested_entries'])}{rates['nested_entries']}; "
           f"purges {exact(counts['purges'])}{rates['purges']}")
