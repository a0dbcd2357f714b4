"""Looks into the heaps of processes and of core dumps, without their help.

    layout.py    where in the memory of a process the heap lies
    memory.py    that memory: of a process, or of a core dump
    elf.py       finds the library in it
    heap.py      arenas, runs, heaps, and what a pointer is
    figures.py   what the heap consists of, as a dictionary (core/report/heap_report.h)
    text.py      the same for people
    screen.py    the same, live, in a terminal
    command.py   aomalloc top, report, what and map

The commands for gdb (aomalloc-gdb.py) use the same, with the memory that gdb
reads. The process goes on meanwhile. So anything that is read may be wrong: a
list is followed so far and no further, and a pointer only into the heap.
"""
