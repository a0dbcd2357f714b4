"""Finds a symbol of a library in memory, where the dynamic loader has put it.

No file is needed: it may be in a container, or replaced by another since.
"""

import struct

from aomalloc.layout import Refused

LOAD, DYNAMIC = 1, 2
STRINGS, SYMBOLS, GNU_HASH = 5, 6, 0x6ffffef5
MOST_HEADERS = 64
MOST_WORDS = 4096
MOST_CHAIN = 1 << 16


def find(memory, name):
    """The address of the first library's symbol of that name."""
    for base, _ in memory.images():
        address = in_image(memory, base, name.encode())
        if address is not None:
            return address
    raise Refused(memory.why_no_library())


def in_image(memory, base, name):
    header = memory.read(base, 64)
    if header[:6] != b"\x7fELF\x02\x01":
        return None
    headers, = struct.unpack_from("<Q", header, 32)
    size, count = struct.unpack_from("<HH", header, 54)
    if size != 56 or count > MOST_HEADERS:
        return None
    bias, dynamic = None, None
    for i in range(count):
        kind, _, _, address = struct.unpack("<IIQQ", memory.read(base + headers + i * size, 24))
        if kind == LOAD and bias is None:
            bias = base - address
        elif kind == DYNAMIC:
            dynamic = address
    if bias is None or dynamic is None:
        return None
    tables = {}
    words = struct.unpack(f"<{2 * MOST_WORDS // 16}Q", memory.read(bias + dynamic, MOST_WORDS))
    for tag, value in zip(words[::2], words[1::2]):
        if tag == 0:
            break
        # Some loaders leave these as they are in the file.
        tables[tag] = value if value >= base else value + bias
    if not {STRINGS, SYMBOLS, GNU_HASH} <= tables.keys():
        return None
    return in_tables(memory, bias, tables, name)


def in_tables(memory, bias, tables, name):
    """Looks the name up in the hash table."""
    value = 5381
    for byte in name:
        value = (value * 33 + byte) & 0xffffffff
    at = tables[GNU_HASH]
    buckets, first, bloom, _ = struct.unpack("<IIII", memory.read(at, 16))
    if buckets == 0 or bloom > 1 << 24:
        return None
    bucket_at = at + 16 + 8 * bloom
    chain_at = bucket_at + 4 * buckets
    index, = struct.unpack("<I", memory.read(bucket_at + 4 * (value % buckets), 4))
    if index < first:
        return None
    for i in range(index, index + MOST_CHAIN):
        there, = struct.unpack("<I", memory.read(chain_at + 4 * (i - first), 4))
        if there | 1 == value | 1:
            name_at, _, _, section, address = struct.unpack(
                "<IBBHQ", memory.read(tables[SYMBOLS] + 24 * i, 16))
            text = memory.read(tables[STRINGS] + name_at, len(name) + 1)
            if text == name + b"\0" and section != 0:
                return bias + address
        if there & 1:
            break
    return None
