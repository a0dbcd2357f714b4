"""Where in the memory of a process the heap lies, as the library says itself."""

import struct

SYMBOL = "aomalloc_layout"
VERSION = 8
# In the order of preload/layout.cc, behind the version.
POINTERS = """
    static_arena static_rest mapped_arenas first_heaps registry secret nested_entries
""".split()
WORDS = """
    max_mapped num_first_heaps num_classes
    arena_base arena_shift arena_table arena_used arena_dirty arena_accessible
    arena_growth growth_mapped growth_first
    run_bytes run_owner run_units run_granules run_capacity run_kind
    run_free run_used run_beyond run_carved run_purged run_drained
    run_span
    heap_bytes heap_holder heap_next heap_draining heap_remote
    heap_kept kept_bytes heap_lanes lane_bytes num_lanes
    block_link hardened heap_quarantine quarantine_blocks
    arena_is_mapped arena_units arena_counts arena_peak arena_purges arena_purged
    heap_claim heap_sent heap_raided heap_drained heap_sampler sampler_rations
    list_used lane_owner lane_first lane_bytes_held lane_room lane_listed
    heap_looked_at heap_left
""".split()
# The library's types of these fields (core/arena/run.h), for struct.
RUN_FIELDS = {
    "owner": "Q", "units": "I", "granules": "H", "capacity": "H", "kind": "B", "free": "Q",
    "used": "i", "beyond": "h", "carved": "H", "purged": "H", "drained": "Q",
    "span": "Q",
}
MOST_CLASSES = 1024
MOST_BYTES = 1 << 20  # of a heap or a descriptor


class Refused(Exception):
    """Why nothing can be said, in one line."""


class Layout:
    """A word of the layout is an attribute."""

    def __init__(self, memory, symbol):
        count = 1 + len(POINTERS) + len(WORDS)
        version, *values = struct.unpack(f"<{count}Q", memory.read(symbol, 8 * count))
        # Before version 5 the first word was an address.
        if version != VERSION:
            found = version if version < 1 << 12 else "4 or older"
            raise Refused(f"its aomalloc has layout {found}; this command knows layout {VERSION}")
        vars(self).update(zip(POINTERS + WORDS, values))
        if self.num_classes > MOST_CLASSES or not 0 < self.run_bytes < MOST_BYTES or \
                not 0 < self.heap_bytes < MOST_BYTES:
            raise Refused("the layout of its aomalloc cannot be made out")
        sizes = memory.read(symbol + 8 * count, 8 * self.num_classes)
        self.class_sizes = struct.unpack(f"<{self.num_classes}Q", sizes)
        self.run_struct = self.packed("run_", RUN_FIELDS)

    def packed(self, prefix, fields):
        """A struct that unpacks the fields, in the order that they are given in."""
        at, text, order = 0, "<", {}
        for name in sorted(fields, key=lambda name: getattr(self, prefix + name)):
            offset = getattr(self, prefix + name)
            if not at <= offset < MOST_BYTES:
                raise Refused("the layout of its aomalloc cannot be made out")
            text += f"{offset - at}x{fields[name]}"
            order[name] = len(order)
            at = offset + struct.calcsize("<" + fields[name])
        return struct.Struct(text), [order[name] for name in fields]
