"""aomalloc top: the heap of a process, live in a terminal."""

import curses
import os
import signal
import sys
import time

from aomalloc import figures, text
from aomalloc.layout import Refused

FOOTER = "q quit  c classes  h heaps  < > sort by  r reverse  arrows, pages: scroll"


class View:
    """What is shown, and how; knows nothing of the terminal."""

    def __init__(self, heap):
        self.heap, self.table = heap, text.CLASSES
        self.columns = {text.CLASSES: 5, text.HEAPS: 4}  # sorted by: their bytes
        self.reverse, self.top, self.page = False, 0, 1
        self.now, self.old, self.read_at = None, None, None

    def read(self):
        self.heap.read()
        at = time.monotonic()
        counted = figures.count(self.heap)
        counted.pop("arenas")  # may be large
        if self.now:
            self.old = {**self.now, "seconds": max(at - self.read_at, 1e-3)}
        self.now, self.read_at = counted, at

    def title(self):
        mode = "mmap" if self.now["mmap"] else "static heap"
        return f"aomalloc top: {self.heap.memory.name}, {mode}"

    def lines_of(self, table):
        column = table.columns[self.columns[table]]
        rows = table.sorted(table.rows(self.now, self.old), column, self.reverse)
        return table.heading(column), [table.line(row) for row in rows]

    def everything(self):
        yield self.title()
        yield from text.summary(self.now)
        for table in (text.CLASSES, text.HEAPS):
            rows = list(table.rows(self.now))
            rows = table.sorted(rows, table.columns[self.columns[table]], False)
            yield ""
            yield from table.without_rates().lines(rows)

    def lines(self, height):
        """The lines of the screen, and which of them is the table's heading."""
        above = [self.title() + "  " + time.strftime("%H:%M:%S")]
        above += text.summary(self.now, self.old)
        heading, rows = self.lines_of(self.table)
        self.page = max(1, height - len(above) - 2)
        self.top = max(0, min(self.top, len(rows) - self.page))
        shown = rows[self.top:self.top + self.page]
        shown += [""] * (self.page - len(shown))
        return above + [heading] + shown + [FOOTER], len(above)

    def press(self, key):
        """False if it is the key that ends the view."""
        steps = {curses.KEY_UP: -1, curses.KEY_DOWN: 1, curses.KEY_PPAGE: -self.page,
                 curses.KEY_NPAGE: self.page, curses.KEY_HOME: -1 << 30, curses.KEY_END: 1 << 30}
        count = len(self.table.columns)
        if key == ord("q"):
            return False
        if key == ord("c"):
            self.table, self.top = text.CLASSES, 0
        elif key == ord("h"):
            self.table, self.top = text.HEAPS, 0
        elif key in (ord("<"), curses.KEY_LEFT):
            self.columns[self.table] = (self.columns[self.table] - 1) % count
        elif key in (ord(">"), curses.KEY_RIGHT):
            self.columns[self.table] = (self.columns[self.table] + 1) % count
        elif key == ord("r"):
            self.reverse = not self.reverse
        else:
            self.top = max(0, self.top + steps.get(key, 0))
        return True


def draw(window, view):
    height, width = window.getmaxyx()
    lines, heading = view.lines(height)
    window.erase()
    for y, line in enumerate(lines[:height]):
        try:
            window.addnstr(y, 0, line.ljust(width - 1) if y == heading else line, width - 1,
                           curses.A_REVERSE if y == heading else curses.A_NORMAL)
        except curses.error:
            pass  # It has just become smaller.
    window.refresh()


def loop(window, view, delay):
    try:
        curses.curs_set(0)
    except curses.error:
        pass
    going = True
    while going:
        view.read()
        until = time.monotonic() + delay
        while going and (left := until - time.monotonic()) > 0:
            draw(window, view)
            window.timeout(max(1, int(left * 1000)))
            key = window.getch()
            if key == curses.KEY_RESIZE:
                curses.update_lines_cols()
            elif key == ord(" "):
                break
            elif key != -1:
                going = view.press(key)


def end(number, _frame):
    sys.exit(128 + number)


def show(heap, delay):
    if not os.isatty(0) or not os.isatty(1):
        raise Refused("the live view needs a terminal; --once prints it once")
    view = View(heap)
    view.read()
    # These end the view in order, so that the terminal is restored.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    try:
        curses.setupterm()
    except curses.error:
        raise Refused("this terminal is not known (TERM); --once prints it once") from None
    curses.wrapper(loop, view, delay)
