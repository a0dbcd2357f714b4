"""Commands for gdb that look into the heap of a process or a core dump.

    aomalloc what EXPRESSION   what a pointer is: class, block, live or free
    aomalloc report            what the heap consists of
    aomalloc map               the arenas as JSON, for scripts/heapmap

gdb loads this by itself where it lies in its auto-load directory; elsewhere:
"source aomalloc-gdb.py". Nothing runs in the process, and nothing is written.
"""

import json
import struct

import gdb

VERSION = 4
# In the order of preload/layout.cc.
POINTERS = "static_arena static_rest mapped_arenas first_heaps registry secret".split()
WORDS = """
    version max_mapped num_first_heaps num_classes
    arena_base arena_shift arena_table arena_used arena_dirty arena_accessible
    arena_growth growth_mapped growth_first
    run_bytes run_owner run_units run_granules run_capacity run_kind
    run_free run_used run_beyond run_carved run_drained
    heap_bytes heap_holder heap_next heap_draining heap_remote
    heap_kept kept_bytes heap_lanes lane_bytes num_lanes
    block_link hardened heap_quarantine quarantine_blocks
""".split()
FREE, SLAB, INTERIOR, SPAN, OWN = range(5)
GRANULE = 16
ALL_ONES = (1 << 64) - 1
MANY = 1 << 24  # a list that is longer is broken


class Memory:
    """The memory of the process; what a core dump leaves out reads as zero."""

    def read(self, address, size):
        try:
            return bytes(gdb.selected_inferior().read_memory(address, size))
        except gdb.MemoryError:
            if size <= 4096:
                return bytes(size)
        # In pages, of which only some may be missing.
        parts = []
        while size > 0:
            step = min(size, 4096 - address % 4096)
            parts.append(self.read(address, step))
            address += step
            size -= step
        return b"".join(parts)

    def word(self, address):
        return struct.unpack("<Q", self.read(address, 8))[0]


class Run:
    """The descriptor of a unit."""

    def __init__(self, layout, data):
        def field(name, kind):
            return struct.unpack_from("<" + kind, data, layout[name])[0]

        self.owner = field("run_owner", "Q")
        self.units = field("run_units", "I")
        self.size = field("run_granules", "H") * GRANULE
        self.capacity = field("run_capacity", "H")
        self.kind = field("run_kind", "B")
        self.free = field("run_free", "Q")
        self.carved = field("run_carved", "H")
        self.drained = field("run_drained", "Q")
        in_use = field("run_used", "i") + field("run_beyond", "h")
        self.blocks = min(max(in_use, 0), self.carved)


class Arena:
    def __init__(self, memory, layout, address):
        def field(name):
            return memory.word(address + layout[name])

        self.base = field("arena_base")
        self.shift = field("arena_shift") & 0xffffffff
        self.unit_bytes = 1 << self.shift
        self.units = field("arena_accessible")
        self.run_bytes = layout["run_bytes"]
        self.table = memory.read(field("arena_table"), self.units * self.run_bytes)
        self.used = memory.read(field("arena_used"), (self.units + 63) // 64 * 8)
        self.dirty = memory.read(field("arena_dirty"), (self.units + 63) // 64 * 8)
        self.layout = layout
        # An arena that grows has a bit for each 64 units: whether they are mapped.
        growth = field("arena_growth")
        self.mapped = growth and memory.read(
            memory.word(growth + layout["growth_mapped"]), (self.units + 511) // 512)
        # Of the first 64 there may be some only.
        self.first = memory.word(growth + layout["growth_first"]) if growth else 64

    def contains(self, address):
        return self.base <= address < self.base + (self.units << self.shift)

    def is_mapped(self, unit):
        if self.first <= unit < 64:
            return False
        return not self.mapped or self.mapped[unit // 512] >> (unit // 64 % 8) & 1

    def in_use(self, unit):
        return self.is_mapped(unit) and self.used[unit // 8] >> (unit % 8) & 1

    def is_dirty(self, unit):
        return self.dirty[unit // 8] >> (unit % 8) & 1

    def run(self, unit):
        at = unit * self.run_bytes
        return Run(self.layout, self.table[at:at + self.run_bytes])

    def runs(self):
        """Yields (unit, units, Run or None if free) of the whole arena."""
        unit = 0
        while unit < self.units:
            if not self.in_use(unit):
                yield unit, 1, None
                unit += 1
                continue
            run = self.run(unit)
            most = self.units - unit
            units = 1 if run.kind == INTERIOR else max(1, min(run.units, most))
            yield unit, units, run
            unit += units

    def first_unit(self, address):
        """The first unit of the run that holds the address; None if free."""
        target = (address - self.base) >> self.shift
        for unit, units, run in self.runs():
            if unit <= target < unit + units:
                return unit if run is not None else None
        return None


class Heap:
    """The whole of it: arenas, and what the heaps of threads have in hand."""

    def __init__(self):
        self.memory = Memory()
        try:
            symbol = int(gdb.parse_and_eval("(unsigned long)&aomalloc_layout"))
        except gdb.error:
            raise gdb.GdbError("aomalloc is not loaded in this program") from None
        count = len(POINTERS) + len(WORDS)
        values = struct.unpack(f"<{count}Q", self.memory.read(symbol, 8 * count))
        self.layout = dict(zip(POINTERS + WORDS, values))
        if self.layout["version"] != VERSION:
            raise gdb.GdbError("these commands are for another version of aomalloc")
        secret = self.layout["secret"]
        self.secret = [self.memory.word(secret + 8 * i) for i in range(2)]
        addresses = [self.layout["static_arena"]]
        rest = self.memory.word(self.layout["static_rest"])
        if rest != 0:
            addresses.append(rest)
        for i in range(self.layout["max_mapped"]):
            address = self.memory.word(self.layout["mapped_arenas"] + 8 * i)
            if address == 0:
                break
            addresses.append(address)
        self.arenas = [Arena(self.memory, self.layout, a) for a in addresses]

    def heaps(self):
        first, size = self.layout["first_heaps"], self.layout["heap_bytes"]
        end = first + size * self.layout["num_first_heaps"]
        heap = self.memory.word(self.layout["registry"]) or first
        for _ in range(MANY):
            if heap == 0:
                return
            yield heap
            if first <= heap < end:
                heap = heap + size if heap + size < end else 0
            else:
                heap = self.memory.word(heap + self.layout["heap_next"])

    def seal(self, block):
        """What is added to a free block's link (core/arena/run.h)."""
        if not self.layout["hardened"]:
            return block * 9 + 0x5ea1ed01
        product = (block ^ self.secret[0]) * self.secret[1]
        return (product ^ product >> 64) & ALL_ONES

    def next(self, block):
        """The block that a free one leads to; None if there is no link."""
        link = self.memory.word(block + self.layout["block_link"])
        target = (link - self.seal(block)) & ALL_ONES
        return target if target >> 48 == 0 else None

    def chain(self, block):
        """The blocks of a list."""
        for _ in range(MANY):
            if not block:
                return
            yield block
            block = self.next(block)

    def batches(self, first):
        """The blocks of batches: each, and those that are listed in it."""
        for batch in self.chain(first):
            yield batch
            witness = ~self.seal(batch) & ~0xFF if self.layout["hardened"] else ~batch << 8
            count = (self.memory.word(batch) - witness) & ALL_ONES
            if count > 0xFF:
                return
            listed = self.memory.read(batch + 16, 8 * count)
            yield from struct.unpack(f"<{count}Q", listed)

    def away(self):
        """Yields (block, where) of blocks that are freed, but not at home."""
        layout, word = self.layout, self.memory.word
        for heap in self.heaps():
            for i in range(layout["num_classes"]):
                kept = heap + layout["heap_kept"] + i * layout["kept_bytes"]
                for block in self.chain(word(kept)):
                    yield block, "kept by another thread's heap"
            for i in range(layout["num_lanes"]):
                lane = heap + layout["heap_lanes"] + i * layout["lane_bytes"]
                for block in self.batches(word(lane)):
                    yield block, "not sent home yet by who freed it"
            for name in ("heap_remote", "heap_draining"):
                # The bits of the list's head above an address are marks.
                head = word(heap + layout[name]) & ((1 << 48) - 1)
                for block in self.batches(head):
                    yield block, "waiting for its owner"

    def what(self, address):
        for arena in self.arenas:
            if not arena.contains(address):
                continue
            unit = arena.first_unit(address)
            if unit is None:
                return "in free memory of the heap"
            return self.what_in_run(arena, unit, address)
        return "not an address of aomalloc"

    def what_in_run(self, arena, unit, address):
        run = arena.run(unit)
        start = arena.base + unit * arena.unit_bytes
        if run.kind == SPAN:
            size = run.units * arena.unit_bytes
            return self.in_block("a large block", start, size, address) + ", live"
        if run.kind == OWN:
            return "in aomalloc's own memory"
        if run.kind != SLAB:
            return "in memory that a heap keeps for later, free"
        index = (address - start) // run.size
        if index >= run.capacity:
            return "behind the last block of a slab"
        block = start + index * run.size
        kind = f"a block of class {run.size}"
        text = self.in_block(kind, block, run.size, address)
        text += f", number {index} of {run.capacity} of the slab at {start:#x}"
        text += f", heap {run.owner:#x}: "
        if index >= run.carved:
            return text + "never allocated"
        if block in self.chain(run.free):
            return text + "free"
        for freed, where in self.away():
            if freed == block:
                return text + f"free, {where}"
        if block in self.quarantine():
            return text + "free, in quarantine"
        return text + "live"

    def quarantine(self):
        """Freed blocks that the hardened library holds back."""
        blocks = set()
        for heap in self.heaps():
            at = heap + self.layout["heap_quarantine"]
            count = self.layout["quarantine_blocks"]
            blocks.update(struct.unpack(f"<{count}Q", self.memory.read(at, 8 * count)))
        return blocks - {0}

    @staticmethod
    def in_block(kind, block, size, address):
        if block == address:
            return f"{kind}, {size} bytes"
        return f"{address - block} bytes inside {kind} at {block:#x}, {size} bytes"

    def map(self):
        """What "arenas" is in a report (core/report/heap_report.h)."""
        arenas = []
        for arena in self.arenas:
            runs = []
            for unit, units, run in arena.runs():
                if run is None:
                    name = "dirty" if arena.is_dirty(unit) else "clean"
                    if runs and runs[-1][0] == name:
                        runs[-1][1] += 1
                    else:
                        runs.append([name, 1])
                elif run.kind == SLAB:
                    runs.append(["slab", units, run.size, run.blocks, run.carved, run.capacity])
                else:
                    runs.append([{SPAN: "span", OWN: "own"}.get(run.kind, "kept"), units])
            arenas.append({"base": hex(arena.base), "unit": arena.unit_bytes, "runs": runs})
        return {"process": gdb.selected_inferior().pid, "occasion": "gdb", "arenas": arenas}

    def report(self):
        """Yields the lines of the report."""
        bytes_of, classes = {}, {}
        for arena in self.arenas:
            for unit, units, run in arena.runs():
                size = units * arena.unit_bytes
                if run is None:
                    kind = ("free, not given back" if arena.is_dirty(unit)
                            else "free, no memory behind it")
                else:
                    kind = {SLAB: "in slabs", SPAN: "in spans", OWN: "heaps"}.get(
                        run.kind, "kept for later")
                bytes_of[kind] = bytes_of.get(kind, 0) + size
                if run is not None and run.kind == SLAB:
                    sums = classes.setdefault(run.size, [0, 0, 0, 0])
                    for i, value in enumerate((1, run.blocks, run.capacity, run.drained)):
                        sums[i] += value
        away = sum(1 for _ in self.away())
        for kind in sorted(bytes_of):
            yield f"{kind:30}{bytes_of[kind]:>18,} bytes"
        yield f"{'freed, on their way home':30}{away:>18,} blocks"
        yield f"{'heaps':30}{sum(1 for _ in self.heaps()):>18,}"
        yield ""
        yield (f"{'class':>8}{'slabs':>9}{'blocks in use':>15}{'of':>12}"
               f"{'fill':>7}{'remote frees':>15}")
        for size, (slabs, blocks, capacity, drained) in sorted(classes.items()):
            yield (f"{size:>8,}{slabs:>9,}{blocks:>15,}{capacity:>12,}"
                   f"{blocks * 100 // max(capacity, 1):>5} %{drained:>15,}")


class Prefix(gdb.Command):
    """The heap of aomalloc: "help aomalloc" lists what can be asked."""

    def __init__(self):
        super().__init__("aomalloc", gdb.COMMAND_DATA, prefix=True)


class What(gdb.Command):
    """aomalloc what EXPRESSION: tells what a pointer is."""

    def __init__(self):
        super().__init__("aomalloc what", gdb.COMMAND_DATA, gdb.COMPLETE_EXPRESSION)

    def invoke(self, argument, _from_tty):
        if not argument:
            raise gdb.GdbError("aomalloc what EXPRESSION")
        address = int(gdb.parse_and_eval(f"(unsigned long)({argument})"))
        print(f"{address:#x}: {Heap().what(address)}")


class Report(gdb.Command):
    """aomalloc report: tells what the heap consists of."""

    def __init__(self):
        super().__init__("aomalloc report", gdb.COMMAND_DATA)

    def invoke(self, _argument, _from_tty):
        for line in Heap().report():
            print(line)


class Map(gdb.Command):
    """aomalloc map: prints the arenas as JSON, for scripts/heapmap."""

    def __init__(self):
        super().__init__("aomalloc map", gdb.COMMAND_DATA)

    def invoke(self, _argument, _from_tty):
        print(json.dumps(Heap().map()))


Prefix()
What()
Report()
Map()
