"""aomalloc top, report and what."""

import json
import signal
import sys

from aomalloc import figures, text
from aomalloc.heap import Heap
from aomalloc.layout import Refused
from aomalloc.memory import Core, Process

USAGE = """\
usage: aomalloc top [--once] [--json] [--delay SECONDS] PID|CORE
       aomalloc report [--json] PID|CORE
       aomalloc what PID|CORE ADDRESS...

Look into the heap of a process that has the library, without stopping it, or
of a core dump.

  top      what is in use and why, live; keys are shown in the last line
  report   what the heap consists of, as AO_MALLOC_STATS reports it
  what     what a pointer is: class, block, live or free

  --once   print it once; so it is with a core dump
  --json   print one line of JSON
  --delay  how long to wait before the heap is read anew; 2 seconds if not given
"""


class Usage(Exception):
    """What is wrong with the arguments."""


def heap_of(target):
    if not target.isdecimal():
        return Heap(Core(target))
    if len(target) > 9:
        raise Refused(f"there is no process {target}")
    memory = Process(int(target))
    try:
        return Heap(memory)
    except Refused as refused:
        raise Refused(said_of(memory, refused)) from None


def said_of(memory, refused):
    """Names the process, if the reason does not."""
    text_of_it = str(refused)
    return text_of_it if memory.name in text_of_it else f"{memory.name}: {text_of_it}"


def split(arguments, known):
    """Options, with their values, and what is left."""
    options, left = {}, []
    arguments = iter(arguments)
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if argument == "--":
            left += arguments
        elif not argument.startswith("-"):
            left.append(argument)
        elif name not in known or (equals and not known[name]):
            raise Usage(f"unknown option {argument}")
        elif known[name]:
            value = value if equals else next(arguments, None)
            if value is None:
                raise Usage(f"{name} needs a value")
            options[name] = value
        else:
            options[name] = True
    return options, left


def top(arguments):
    options, left = split(arguments, {"--once": False, "--json": False, "--delay": True})
    try:
        delay = float(options.get("--delay", 2))
    except ValueError:
        delay = 0
    if not 0.05 <= delay <= 86400:
        raise Usage("--delay needs a number of seconds, from 0.05")
    if len(left) != 1:
        raise Usage("which process?")
    if "--json" in options:
        return report(["--json", *left])
    heap = heap_of(left[0])
    from aomalloc import screen  # it needs curses, and nothing else does
    if "--once" in options or not left[0].isdecimal():
        view = screen.View(heap)
        view.read()
        for line in view.everything():
            print(line)
        return 0
    screen.show(heap, delay)
    return 0


def report(arguments):
    options, left = split(arguments, {"--json": False})
    if len(left) != 1:
        raise Usage("which process?")
    heap = heap_of(left[0])
    counted = figures.count(heap)
    if "--json" in options:
        print(json.dumps(counted))
        return 0
    for line in text.report(counted, heap.memory.program):
        print(line)
    return 0


def what(arguments):
    _, left = split(arguments, {})
    if len(left) < 2:
        raise Usage("which process, and which address?")
    try:
        addresses = [int(argument, 0) for argument in left[1:]]
    except ValueError:
        raise Usage("an address is a number, such as 0x7f0012345678") from None
    heap = heap_of(left[0])
    for address in addresses:
        print(f"{address:#x}: {heap.what(address)}")
    return 0


def main(arguments):
    for number in (signal.SIGPIPE, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    commands = {"top": top, "report": report, "what": what}
    try:
        if not arguments or arguments[0] not in commands:
            raise Usage("top, report or what?")
        if "--help" in arguments:
            print(USAGE, end="")
            return 0
        return commands[arguments[0]](arguments[1:])
    except Usage as wrong:
        print(f"aomalloc: {wrong}\n{USAGE}", end="", file=sys.stderr)
        return 2
    except Refused as refused:
        print(f"aomalloc: {refused}", file=sys.stderr)
        return 1
