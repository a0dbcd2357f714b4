"""The heap of a process: arenas, runs, the heaps of threads, and what a pointer is."""

import array
import struct

from aomalloc import elf
from aomalloc.layout import SYMBOL, Layout

FREE, SLAB, INTERIOR, SPAN, OWN = range(5)  # kinds of runs that are in use
DIRTY, CLEAN, UNMAPPED = "dirty", "clean", "unmapped"  # units that are not
GRANULE = 16
PAGE = 4096
CHUNK = 64  # units, one word of bits
ALL_ONES = (1 << 64) - 1
ADDRESS = (1 << 48) - 1
# What exceeds these is broken, or was read while it changed.
MOST_UNITS = 1 << 26
MOST_HEAPS = 1 << 16
MOST_BLOCKS = 1 << 20


def trailing_zeros(word):
    return (word & -word).bit_length() - 1 if word else CHUNK


class Run:
    """The descriptor of a unit."""

    __slots__ = ("owner", "units", "size", "capacity", "kind", "free", "blocks", "carved",
                 "purged", "left_out", "drained", "span")

    def __init__(self, fields):
        (self.owner, self.units, granules, self.capacity, self.kind, self.free,
         used, beyond, self.carved, self.purged, self.drained, span) = fields
        self.size = granules * GRANULE
        self.span = span & -PAGE  # of a span: the bytes that may be used
        self.blocks = min(max(used + beyond, 0), self.carved)
        self.left_out = 0

    def fit_to(self, size):
        """No count is more than what fits into so many bytes."""
        self.capacity = min(self.capacity, size // self.size) if self.size else 0
        self.carved = min(self.carved, self.capacity)
        self.blocks = min(self.blocks, self.carved)
        if self.purged and self.size:
            count = sum(self.first_of(page + 1) - self.first_of(page) for page in range(16)
                        if self.is_purged(page))
            self.left_out = min(count, self.carved - self.blocks)

    def is_purged(self, page):
        return self.purged >> page & 1

    def first_of(self, page):
        """The index of the first block that begins in a page of the slab, or behind it."""
        return min(-(-page * PAGE // self.size), self.capacity)


class Arena:
    def __init__(self, memory, layout, address):
        def field(name):
            return memory.word(address + getattr(layout, "arena_" + name))

        def bits(start, count):
            return array.array("Q", memory.read(start, (count + CHUNK - 1) // CHUNK * 8))

        self.memory, self.layout = memory, layout
        self.base = field("base")
        self.shift = field("shift") & 0xffffffff
        self.is_mapped = bool(field("is_mapped") & 1)
        self.most_units = field("units")
        # Units from here on cannot be accessed. Below, some may not be either.
        self.units = min(field("accessible"), self.most_units, MOST_UNITS)
        if not 12 <= self.shift <= 24 or self.base % 4096 != 0 or self.base > ADDRESS:
            self.units = self.shift = 0
        self.unit_bytes = 1 << self.shift
        self.table = field("table")
        self.used = bits(field("used"), self.units)
        self.dirty = bits(field("dirty"), self.units)
        # An arena that grows has a bit for each chunk: whether it is mapped.
        growth = field("growth")
        chunks = len(self.used)
        self.chunks = growth and bits(memory.word(growth + layout.growth_mapped), chunks)
        # Of the first one there may be some units only.
        self.first = min(memory.word(growth + layout.growth_first), CHUNK) if growth else CHUNK
        self.used_units = field("counts") & 0xffffffff
        self.peak_units = field("peak")
        self.purges = field("purges")
        self.purged_units = field("purged")
        self.chunk_read = None

    def contains(self, address):
        return self.base <= address < self.base + (self.units << self.shift)

    def is_there(self, chunk):
        return not self.chunks or self.chunks[chunk // CHUNK] >> chunk % CHUNK & 1

    def stretches(self):
        """Yields (start, end) of units that can be accessed."""
        start = None
        for chunk in range(len(self.used)):
            if not self.is_there(chunk):
                if start is not None:
                    yield start, chunk * CHUNK
                start = None
            elif start is None:
                start = chunk * CHUNK
            if chunk == 0 and start == 0 and self.first < min(CHUNK, self.units):
                yield start, self.first
                start = None
        if start is not None:
            yield start, self.units

    def run(self, unit):
        chunk, at = divmod(unit, CHUNK)
        if self.chunk_read != chunk:
            size = self.layout.run_bytes * CHUNK
            self.descriptors = self.memory.read(self.table + chunk * size, size)
            self.chunk_read = chunk
        packed, order = self.layout.run_struct
        values = packed.unpack_from(self.descriptors, at * self.layout.run_bytes)
        return Run([values[i] for i in order])

    def in_use(self, unit, most):
        """How many units from there on are in use, up to so many."""
        count = 0
        while count < most:
            chunk, bit = divmod(unit + count, CHUNK)
            if not self.is_there(chunk):
                break
            here = min(trailing_zeros(~self.used[chunk] >> bit & ALL_ONES), CHUNK - bit)
            count += here
            if here < CHUNK - bit:
                break
        return min(count, most)

    def runs(self):
        """Yields (unit, units, Run) of the whole arena; for free units not a Run
        but DIRTY, CLEAN or UNMAPPED."""
        unit = 0
        while unit < self.units:
            chunk, bit = divmod(unit, CHUNK)
            left = min(CHUNK - bit, self.units - unit)
            used = self.used[chunk] >> bit
            if not self.is_there(chunk) or unit >= self.first and chunk == 0:
                yield unit, left, UNMAPPED
                unit += left
            elif used & 1:
                run = self.run(unit)
                most = 1 if run.kind == INTERIOR else min(run.units, self.units - unit)
                units = max(1, self.in_use(unit, most))
                run.fit_to(units << self.shift)
                yield unit, units, run
                unit += units
            else:
                dirty = self.dirty[chunk] >> bit
                same = trailing_zeros(~dirty & ALL_ONES if dirty & 1 else dirty)
                units = min(trailing_zeros(used), same, left)
                yield unit, units, DIRTY if dirty & 1 else CLEAN
                unit += units

    def run_at(self, address):
        """The run that holds the address, and its first unit."""
        target = (address - self.base) >> self.shift
        for unit, units, run in self.runs():
            if target < unit + units:
                return unit, run
        return target, CLEAN


class ThreadHeap:
    """The heap of a thread, as it was when it was read."""

    ID_BITS = 22  # of a holder: the thread's id (core/heap/holder.h)

    def __init__(self, layout, address, data):
        self.address, self.layout, self.data = address, layout, data
        self.holder = self.word(layout.heap_holder)
        self.next = self.word(layout.heap_next)
        self.claimed = self.word(layout.heap_claim) != 0
        self.sent = self.word(layout.heap_sent)
        self.raided = self.word(layout.heap_raided)
        self.sampler = self.word(layout.heap_sampler)
        # The bits of a list's head above an address are marks.
        self.inbox = [self.word(at) & ADDRESS for at in (layout.heap_remote, layout.heap_draining)]
        self.kept = lists(layout, data, layout.heap_kept)
        self.drained = [self.word(layout.heap_drained + 8 * i) for i in range(layout.num_classes)]
        # How many blocks a batch lists that is being filled or drained; the
        # batch need not say it.
        self.counts = {self.word(layout.heap_looked_at): self.word(layout.heap_left)}
        self.lanes = []  # (owner, first batch, bytes)
        for i in range(layout.num_lanes):
            at = layout.heap_lanes + i * layout.lane_bytes
            first = self.word(at + layout.lane_first)
            self.lanes.append((self.word(at + layout.lane_owner), first,
                               self.half(at + layout.lane_bytes_held)))
            if self.half(at + layout.lane_room) != 0:
                self.counts[first] = self.half(at + layout.lane_listed)

    def half(self, offset):
        return self.word(offset) & 0xffffffff

    def word(self, offset):
        return int.from_bytes(self.data[offset:offset + 8], "little")

    @property
    def thread(self):
        """The id of the thread that holds it; 0 if that is not known."""
        return self.holder & ((1 << self.ID_BITS) - 1)


def lists(layout, data, at):
    """(first block, how many) of the lists of blocks, one for each class."""
    found = []
    for i in range(layout.num_classes):
        here = at + i * layout.kept_bytes
        first = int.from_bytes(data[here:here + 8], "little")
        used = data[here + layout.list_used:here + layout.list_used + 4]
        found.append((first, max(0, -int.from_bytes(used, "little", signed=True))))
    return found


class Heap:
    """The whole of it: arenas, and what the heaps of threads have in hand."""

    def __init__(self, memory, symbol=None):
        self.memory = memory
        self.symbol = elf.find(memory, SYMBOL) if symbol is None else symbol
        self.layout = Layout(memory, self.symbol)
        self.secret = [memory.word(self.layout.secret + 8 * i) for i in range(2)]
        self.read()

    def read(self):
        """Reads the arenas anew."""
        word, layout = self.memory.word, self.layout
        addresses = [layout.static_arena]
        rest = word(layout.static_rest)
        if rest != 0:
            addresses.append(rest)
        for i in range(min(layout.max_mapped, 1 << 12)):
            address = word(layout.mapped_arenas + 8 * i)
            if address == 0:
                break
            addresses.append(address)
        self.arenas = [Arena(self.memory, layout, address) for address in addresses]
        self.nested_entries = word(layout.nested_entries)

    def heaps(self):
        layout = self.layout
        first, size = layout.first_heaps, layout.heap_bytes
        end = first + size * min(layout.num_first_heaps, MOST_HEAPS)
        address = self.memory.word(layout.registry) or first
        seen = set()
        while address and address not in seen and len(seen) < MOST_HEAPS:
            seen.add(address)
            heap = ThreadHeap(layout, address, self.memory.read(address, size))
            yield heap
            if first <= address < end:
                address = address + size if address + size < end else 0
            else:
                address = heap.next

    def rations(self, heap):
        """Like `kept`: what waits for the next sample of the profile."""
        if not heap.sampler:
            return []
        size = self.layout.num_classes * self.layout.kept_bytes
        data = self.memory.read(heap.sampler + self.layout.sampler_rations, size)
        return lists(self.layout, data, 0)

    def seal(self, block):
        """What is added to a free block's link (core/arena/run.h)."""
        if not self.layout.hardened:
            return block * 9 + 0x5ea1ed01
        product = (block ^ self.secret[0]) * self.secret[1]
        return (product ^ product >> 64) & ALL_ONES

    def next(self, block):
        """The block that a free one leads to; None if there is no link."""
        link = self.memory.word(block + self.layout.block_link)
        target = (link - self.seal(block)) & ALL_ONES
        return target if target >> 48 == 0 else None

    def chain(self, block, most=MOST_BLOCKS):
        """The blocks of a list."""
        seen = set()
        while block and block not in seen and len(seen) < most:
            if block % GRANULE or not any(arena.contains(block) for arena in self.arenas):
                return
            seen.add(block)
            yield block
            block = self.next(block)

    def batches(self, first, counts):
        """The blocks of batches: each, and those that are listed in it."""
        for batch in self.chain(first):
            yield batch
            witness = ~self.seal(batch) & ~0xFF if self.layout.hardened else ~batch << 8
            both = (self.memory.word(batch) - witness) & ALL_ONES
            told = both & 0xFF
            count = counts.get(batch, told if both == told | told << 56 else ALL_ONES)
            if count > 0xFF:
                return
            listed = self.memory.read(batch + 16, 8 * count)
            yield from struct.unpack(f"<{count}Q", listed)

    def away(self):
        """Yields (block, where) of blocks that are freed, but not at home."""
        for heap in self.heaps():
            for first, _ in heap.kept:
                for block in self.chain(first):
                    yield block, "kept by another thread's heap"
            for first, _ in self.rations(heap):
                for block in self.chain(first):
                    yield block, "in a ration of the profile"
            for _, first, _ in heap.lanes:
                for block in self.batches(first, heap.counts):
                    yield block, "not sent home yet by who freed it"
            for first in heap.inbox:
                for block in self.batches(first, heap.counts):
                    yield block, "waiting for its owner"

    def what(self, address):
        for arena in self.arenas:
            if not arena.contains(address):
                continue
            unit, run = arena.run_at(address)
            if not isinstance(run, Run):
                return "in free memory of the heap"
            return self.what_in_run(run, arena.base + unit * arena.unit_bytes, arena, address)
        return "not an address of aomalloc"

    def what_in_run(self, run, start, arena, address):
        if run.kind == SPAN:
            size = min(run.span, run.units * arena.unit_bytes)
            return self.in_block("a large block", start, size, address) + ", live"
        if run.kind == OWN:
            return "in aomalloc's own memory"
        if run.kind != SLAB or run.size == 0:
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
        if run.is_purged((block - start) // PAGE):
            return text + "free, its memory was given back"
        if block in self.chain(run.free, run.capacity):
            return text + "free"
        for freed, where in self.away():
            if freed == block:
                return text + f"free, {where}"
        if block in self.quarantine():
            return text + "free, in quarantine"
        return text + "live"

    def quarantine(self):
        """Freed blocks that the hardened library holds back."""
        count, blocks = min(self.layout.quarantine_blocks, 1 << 12), set()
        for heap in self.heaps():
            at = self.layout.heap_quarantine
            blocks.update(struct.unpack(f"<{count}Q", heap.data[at:at + 8 * count]))
        return blocks - {0}

    @staticmethod
    def in_block(kind, block, size, address):
        if block == address:
            return f"{kind}, {size} bytes"
        return f"{address - block} bytes inside {kind} at {block:#x}, {size} bytes"
