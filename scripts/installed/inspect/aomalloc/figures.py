"""What the heap consists of, as a dictionary like the library's own reports.

core/report/heap_report.h describes those, and core/report/statistics.cc counts
them in the same way. "heaps" is here alone: what each has, and who holds it.
"""

from aomalloc.heap import CLEAN, DIRTY, OWN, SLAB, SPAN, UNMAPPED, Run

MOST_WAITING = 1 << 14  # remote frees that are counted in an inbox


class Sums:
    """What is added up over all runs."""

    def __init__(self, heap):
        self.classes = {}  # by size: slabs, capacity, carved, blocks, remote frees
        self.owners = {}  # by address of a heap: slabs, their bytes, bytes in use
        self.bytes = {"dirty": 0, "clean": 0, "unmapped": 0, "span": 0, "own": 0, "kept": 0,
                      "slab": 0}
        self.spans = self.free_blocks = self.left_out = self.uncarved = self.tails = 0
        self.arenas = []
        for arena in heap.arenas:
            runs = []
            for _, units, run in arena.runs():
                self.add(run, units * arena.unit_bytes)
                note(runs, units, run)
            self.arenas.append({"base": hex(arena.base), "unit": arena.unit_bytes, "runs": runs})

    def add(self, run, size):
        name = name_of(run)
        if name == "span":
            self.spans += 1
            self.tails += size - min(run.span, size)
            size = min(run.span, size)
        self.bytes[name] += size
        if name == "slab":
            sums = self.classes.setdefault(run.size, [0] * 5)
            for i, value in enumerate((1, run.capacity, run.carved, run.blocks, run.drained)):
                sums[i] += value
            self.free_blocks += (run.carved - run.blocks - run.left_out) * run.size
            self.left_out += run.left_out * run.size
            self.uncarved += (run.capacity - run.carved) * run.size
            self.tails += size - run.capacity * run.size
            owner = self.owners.setdefault(run.owner, [0] * 3)
            for i, value in enumerate((1, size, run.blocks * run.size)):
                owner[i] += value


def name_of(run):
    if not isinstance(run, Run):
        return run
    return {SLAB: "slab", SPAN: "span", OWN: "own"}.get(run.kind, "kept")


def note(runs, units, run):
    """Adds to the list of an arena's runs. Neighbours that are free are one."""
    name = name_of(run)
    if name == "slab":
        runs.append([name, units, run.size, run.blocks, run.carved, run.capacity,
                     run.left_out])
    elif isinstance(run, Run):
        runs.append([name, units])
    else:
        name = CLEAN if name == UNMAPPED else name
        if runs and runs[-1][0] == name:
            runs[-1][1] += units
        else:
            runs.append([name, units])


def holder(heap, threads):
    """Who holds the heap of a thread: (thread id, what to call it)."""
    if not heap.holder:
        return None, "nobody"
    if not heap.thread:
        return None, "a thread"
    if heap.thread in threads:
        return threads[heap.thread]
    return heap.thread, "gone" if threads else "a thread"


def heaps_of(heap, sums, totals):
    """The dictionaries of the heaps, and in `totals` what they add up to."""
    threads, sizes, found = heap.memory.threads(), heap.layout.class_sizes, []
    for one in heap.heaps():
        kept = sum(count * size for (_, count), size in zip(one.kept, sizes))
        rations = sum(count * size for (_, count), size in zip(heap.rations(one), sizes))
        outbox = sum(held for _, first, held in one.lanes if first)
        waiting = 0
        for first in one.inbox:
            for _ in heap.batches(first, one.counts):
                waiting += 1
                if waiting >= MOST_WAITING:
                    break
        totals["sent"] += one.sent
        totals["raided"] += one.raided
        totals["here"] += kept + rations + outbox
        for size, count in zip(sizes, one.drained):
            totals["drained"][size] = totals["drained"].get(size, 0) + count
        thread, name = holder(one, threads)
        slabs, slab_bytes, block_bytes = sums.owners.get(one.address, (0, 0, 0))
        found.append({
            "heap": hex(one.address), "held": one.holder != 0, "thread": thread, "name": name,
            "working": one.claimed, "slabs": slabs, "slab_bytes": slab_bytes,
            "block_bytes": block_bytes, "kept": kept, "rations": rations, "outbox": outbox,
            "waiting": waiting})
    return found


def resident(heap):
    """The bytes of blocks and descriptors that have memory behind them."""
    total = 0
    for arena in heap.arenas:
        for start, end in arena.stretches():
            table = [arena.table + i * heap.layout.run_bytes for i in (start, end)]
            blocks = [arena.base + (i << arena.shift) for i in (start, end)]
            for place in (blocks, table):
                there = heap.memory.resident(*place)
                if there is None:
                    return None
                total += there
    return total


def count(heap, occasion="seen from outside"):
    """All of it."""
    sums = Sums(heap)
    totals = {"sent": 0, "raided": 0, "here": 0, "drained": {}}
    heaps = heaps_of(heap, sums, totals)
    classes = []
    for size in sorted(set(sums.classes) | {s for s, n in totals["drained"].items() if n}):
        slabs, capacity, carved, blocks, drained = sums.classes.get(size, [0] * 5)
        classes.append({
            "size": size, "slabs": slabs, "capacity": capacity, "carved": carved,
            "blocks": blocks, "remote_frees": drained + totals["drained"].get(size, 0)})
    arrived = totals["raided"] + sum(c["remote_frees"] * c["size"] for c in classes)
    away = totals["here"] + max(0, totals["sent"] - arrived)
    in_use = sum(c["blocks"] * c["size"] for c in classes) + sums.bytes["span"]
    arenas, accessible, reserved, descriptors = heap.arenas, 0, 0, 0
    for arena in arenas:
        units = sum(end - start for start, end in arena.stretches())
        accessible += units * arena.unit_bytes
        reserved += (units if arena.is_mapped else arena.most_units) * arena.unit_bytes
        descriptors += units * heap.layout.run_bytes
    return {
        "process": heap.memory.process, "occasion": occasion,
        "mmap": any(a.is_mapped for a in arenas),
        "memory": {
            "live": max(0, in_use - away),
            "used": sum(a.used_units * a.unit_bytes for a in arenas),
            "peak_used": sum(a.peak_units * a.unit_bytes for a in arenas),
            "mapped": accessible, "reserved": reserved, "descriptors": descriptors,
            "slabs": sums.bytes["slab"], "spans": sums.bytes["span"],
            "resident": resident(heap)},
        "waste": {
            "away": away, "free_blocks": sums.free_blocks, "left_out": sums.left_out,
            "uncarved": sums.uncarved, "tails": sums.tails, "kept": sums.bytes["kept"],
            "heaps": sums.bytes["own"],
            "dirty": sums.bytes[DIRTY], "clean": sums.bytes[CLEAN]},
        "counts": {
            "heaps": len(heaps), "held_heaps": sum(h["held"] for h in heaps),
            "slabs": sum(c["slabs"] for c in classes), "blocks": sum(c["blocks"] for c in classes),
            "spans": sums.spans, "remote_frees": sum(c["remote_frees"] for c in classes),
            "nested_entries": heap.nested_entries, "purges": sum(a.purges for a in arenas),
            "purged_bytes": sum(a.purged_units * a.unit_bytes for a in arenas)},
        "classes": classes, "heaps": heaps, "arenas": sums.arenas}
