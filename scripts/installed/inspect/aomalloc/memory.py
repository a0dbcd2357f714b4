"""The memory of a process, or of a core dump."""

import bisect
import mmap
import os
import stat
import struct

from aomalloc.layout import Refused

PAGE = 4096
ADDRESSES = 1 << 64
# Of a word of pagemap: the highest bit says that the page is in memory.
HIGH_BIT = bytes(128) + b"\1" * 128


def printable(name):
    """A name that somebody else has chosen, fit for a terminal."""
    return "".join(c if " " <= c <= "~" else "?" for c in name.strip())


class Memory:
    """What cannot be read reads as zero."""

    name = "it"  # for messages
    process = 0  # its id
    program = None  # its name

    def part(self, address, size):
        """The bytes there, or fewer; None if there are none."""
        raise NotImplementedError

    def read(self, address, size):
        parts = []
        while size > 0:
            data = self.part(address, size) if address >> 47 == 0 else bytes(size)
            # To the end of the page, behind which there may be more.
            data = data or bytes(min(size, PAGE - address % PAGE))
            parts.append(data)
            address += len(data)
            size -= len(data)
        return b"".join(parts)

    def word(self, address):
        return int.from_bytes(self.read(address, 8), "little")

    def images(self):
        """Yields where a file begins that may be a library, and its path."""
        raise NotImplementedError

    def resident(self, _start, _end):
        """How many bytes have memory behind them; None if that is not known."""
        return None

    def threads(self):
        """(id, name) of threads, by the id that they have in their container."""
        return {}

    def why_no_library(self):
        return f"{self.name} has no aomalloc"


class Process(Memory):
    """A process that runs, and is not stopped.

    /proc/PID/mem is opened once. It stays the memory of that one program: when
    it has ended, or has executed another, nothing can be read any more.
    """

    def __init__(self, process):
        self.process = process
        self.name = f"process {process}"
        try:
            with open(f"/proc/{process}/comm", encoding="utf-8", errors="replace") as comm:
                self.program = printable(comm.read())
            self.name += f" ({self.program})"
            self.open_memory()
        except (FileNotFoundError, ProcessLookupError):
            raise Refused(f"there is no process {process}") from None
        except PermissionError:
            raise self.not_allowed() from None
        except OSError as error:
            raise Refused(f"{self.name}: {error.strerror}") from None
        self.pagemap = None

    def open_memory(self):
        """If the first thread has ended, only what belongs to another shows the memory."""
        first = f"/proc/{self.process}"
        for _ in range(1000):
            missed = False
            for self.folder in first, *(f"{first}/task/{thread}"
                                        for thread in os.listdir(f"{first}/task")):
                try:
                    with open(f"{self.folder}/maps", "rb") as maps:
                        self.maps = maps.read().decode(errors="replace").splitlines()
                    if self.maps:
                        self.mem = os.open(f"{self.folder}/mem", os.O_RDONLY | os.O_CLOEXEC)
                        return
                except (FileNotFoundError, ProcessLookupError):
                    missed = True  # That thread has ended. Others may have begun.
            if not missed:
                break
        self.folder = first
        self.mem = os.open(f"{first}/mem", os.O_RDONLY | os.O_CLOEXEC)

    def not_allowed(self):
        why = "the same user or root may"
        try:
            with open("/proc/sys/kernel/yama/ptrace_scope", encoding="ascii") as scope:
                if scope.read().strip() != "0":
                    why = "root may; kernel.yama.ptrace_scope keeps others out"
        except OSError:
            pass
        return Refused(f"may not look into {self.name} ({why})")

    def part(self, address, size):
        try:
            data = os.pread(self.mem, size, address)
        except PermissionError:
            raise self.not_allowed() from None
        except OSError:
            return None
        if not data and size:
            raise Refused(f"{self.name} has ended, or executes another program")
        return data

    def images(self):
        for line in self.maps:
            fields = line.split(None, 5)
            # With a file behind it, from the file's start on.
            if len(fields) == 6 and int(fields[2], 16) == 0 and fields[4] != "0":
                yield int(fields[0].split("-")[0], 16), fields[5]

    def resident(self, start, end):
        page = mmap.PAGESIZE
        try:
            if self.pagemap is None:
                self.pagemap = os.open(f"{self.folder}/pagemap",
                                       os.O_RDONLY | os.O_CLOEXEC)
            first, size = start // page * 8, (-(-end // page) - start // page) * 8
            pages = 0
            while size > 0:
                data = os.pread(self.pagemap, min(size, 1 << 20), first)
                if not data:
                    return None
                pages += data[7::8].translate(HIGH_BIT).count(1)
                first += len(data)
                size -= len(data)
            return pages * page
        except OSError:
            return None

    def threads(self):
        names = {}
        folder = f"/proc/{self.process}/task"
        try:
            for thread in os.listdir(folder):
                with open(f"{folder}/{thread}/status", "rb") as file:
                    status = dict(line.split(":", 1) for line in
                                  file.read().decode(errors="replace").splitlines() if ":" in line)
                inner = status.get("NSpid", thread).split()[-1]
                names[int(inner)] = (int(thread), printable(status.get("Name", "?")))
        except (OSError, ValueError):
            pass  # They come and go.
        return names


class Core(Memory):
    """A core dump. What it leaves out of files that were mapped is read from them."""

    LOAD, NOTE = 1, 4
    FILES, STATUS, INFO = 0x46494c45, 1, 3

    def __init__(self, path):
        self.name = path
        self.segments = []  # (start, where in the core, how many bytes are there)
        self.files = []  # (start, end, where in the file, its path)
        self.opened = {}
        try:
            if not stat.S_ISREG(os.stat(path).st_mode):
                raise ValueError
            with open(path, "rb") as file:
                self.data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self.read_headers()
        except OSError as error:
            raise Refused(f"{path}: {error.strerror}") from None
        except (ValueError, struct.error, IndexError):
            raise Refused(f"{path} is not a core dump") from None

    def read_headers(self):
        kind, = struct.unpack_from("<H", self.data, 16)
        if self.data[:6] != b"\x7fELF\x02\x01" or kind != 4:
            raise ValueError
        headers, sections = struct.unpack_from("<QQ", self.data, 32)
        size, count = struct.unpack_from("<HH", self.data, 54)
        if count == 0xffff:  # there are more: the first section's info says how many
            count, = struct.unpack_from("<I", self.data, sections + 44)
        for i in range(count):
            kind, _, offset, start, _, size_there = struct.unpack_from(
                "<IIQQQQ", self.data, headers + i * size)
            if kind == self.LOAD:
                there = max(0, min(size_there, len(self.data) - offset))
                self.segments.append((start, offset, there))
            elif kind == self.NOTE:
                self.read_notes(offset, min(offset + size_there, len(self.data)))
        self.segments.sort()

    def read_notes(self, at, end):
        while at + 12 <= end:
            name, size, kind = struct.unpack_from("<III", self.data, at)
            content = at + 12 + (name + 3) // 4 * 4
            at = content + (size + 3) // 4 * 4
            if kind == self.FILES:
                self.read_files(content, content + size)
            elif kind == self.INFO and size >= 28:
                self.process, = struct.unpack_from("<I", self.data, content + 24)

    def read_files(self, at, end):
        count, page = struct.unpack_from("<QQ", self.data, at)
        if count > (end - at) // 24:
            raise ValueError
        paths = self.data[at + 16 + 24 * count:end].split(b"\0")
        for i in range(count):
            start, stop, offset = struct.unpack_from("<QQQ", self.data, at + 16 + 24 * i)
            self.files.append((start, stop, offset * page, paths[i].decode(errors="replace")))

    def part(self, address, size):
        i = bisect.bisect(self.segments, (address, ADDRESSES)) - 1
        if i >= 0:
            start, offset, there = self.segments[i]
            at = address - start
            if at < there:
                return self.data[offset + at:offset + min(at + size, there)]
        for start, end, offset, path in self.files:
            if start <= address < end:
                return self.of_file(path, offset + address - start, min(size, end - address))
        return None

    def of_file(self, path, offset, size):
        if path not in self.opened:
            try:
                self.opened[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                self.opened[path] = None
        if self.opened[path] is None:
            return None
        try:
            return os.pread(self.opened[path], size, offset)
        except (OSError, OverflowError):
            return None

    def images(self):
        for start, _, offset, path in self.files:
            if offset == 0:
                yield start, path

    def why_no_library(self):
        for _, _, _, path in self.files:
            if "libaomalloc" in path and not os.access(path, os.R_OK):
                return f"{self.name} was made with {path}, which is not here"
        return super().why_no_library()
