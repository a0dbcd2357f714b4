"""Commands for gdb that look into the heap of a process or a core dump.

    aomalloc what EXPRESSION   what a pointer is: class, block, live or free
    aomalloc report            what the heap consists of

gdb loads this by itself where it lies in its auto-load directory; elsewhere:
"source aomalloc-gdb.py". Nothing runs in the process, and nothing is written.
"""

import os
import sys

import gdb

sys.dont_write_bytecode = True
# Where scripts/install puts it, or beside this file.
for folder in ("@PREFIX@/share/aomalloc", os.path.join(os.path.dirname(__file__), "inspect")):
    if os.path.isdir(folder) and folder not in sys.path:
        sys.path.insert(0, folder)

from aomalloc import figures, text  # noqa: E402
from aomalloc.heap import Heap  # noqa: E402
from aomalloc.layout import SYMBOL, Refused  # noqa: E402
from aomalloc.memory import PAGE, Memory, printable  # noqa: E402


class Inferior(Memory):
    """The memory of what gdb debugs."""

    def __init__(self):
        self.name = "this program"
        self.process = gdb.selected_inferior().pid

    def part(self, address, size):
        for most in (size, PAGE - address % PAGE):
            try:
                return bytes(gdb.selected_inferior().read_memory(address, min(size, most)))
            except gdb.MemoryError:
                pass
        return None

    def threads(self):
        return {thread.ptid[1]: (thread.ptid[1], printable(thread.name or "a thread"))
                for thread in gdb.selected_inferior().threads()}


def the_heap():
    try:
        symbol = int(gdb.parse_and_eval(f"(unsigned long)&{SYMBOL}"))
    except gdb.error:
        raise gdb.GdbError("aomalloc is not loaded in this program") from None
    try:
        return Heap(Inferior(), symbol)
    except Refused as refused:
        raise gdb.GdbError(str(refused)) from None


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
        print(f"{address:#x}: {the_heap().what(address)}")


class Report(gdb.Command):
    """aomalloc report: tells what the heap consists of."""

    def __init__(self):
        super().__init__("aomalloc report", gdb.COMMAND_DATA)

    def invoke(self, _argument, _from_tty):
        for line in text.report(figures.count(the_heap(), "seen by gdb")):
            print(line)


Prefix()
What()
Report()
