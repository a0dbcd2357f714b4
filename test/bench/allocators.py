"""The allocators that are compared, and the machine they are compared on."""

import dataclasses
import mmap
import os
import platform
import re
import subprocess
import time

LIB = f"/usr/lib/{platform.machine()}-linux-gnu/"

OURS = "aomalloc"
LIMIT = "bump"

# Name: what is preloaded, and the Debian package that it is from. The C library's
# own malloc is "preloaded" as well, because a program may be linked with another.
DEBIAN = {
    "glibc": (f"/lib/{platform.machine()}-linux-gnu/libc.so.6", "libc6"),
    "mimalloc": (LIB + "libmimalloc.so.2.0", "libmimalloc2.0"),
    "jemalloc": (LIB + "libjemalloc.so.2", "libjemalloc2"),
    "tcmalloc": (LIB + "libtcmalloc_minimal.so.4", "libtcmalloc-minimal4"),
    "tbbmalloc": (LIB + "libtbbmalloc_proxy.so.2", "libtbbmalloc2"),
}


@dataclasses.dataclass(frozen=True)
class Allocator:
    name: str
    path: str
    version: str

    @property
    def is_peer(self):
        """Neither ours nor the limit: what ours is measured against."""
        return self.name not in (OURS, LIMIT)

    def environment(self):
        variables = {"LD_PRELOAD": self.path}
        if self.name == OURS:
            variables["AO_MALLOC_ENABLE_MMAP"] = "1"
        return variables


def version_of(package):
    query = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package],
                           capture_output=True, text=True, check=False)
    return f"{package} {query.stdout}"


def commit(root):
    git = subprocess.run(["git", "-C", root, "describe", "--always", "--dirty"],
                         capture_output=True, text=True, check=False)
    return git.stdout.strip() or "not from a repository"


def find(binaries, root, others):
    """All of them, in the order of the columns; `others` are NAME=PATH."""
    found = [Allocator(OURS, f"{binaries}/libaomalloc.so", commit(root))]
    found += [Allocator(name, path, version_of(package))
              for name, (path, package) in DEBIAN.items()]
    for other in others:
        name, _, path = other.partition("=")
        if not name or not os.path.isfile(path):
            raise SystemExit(f"scripts/bench: --with {other}: no such file")
        if any(name in (a.name, LIMIT) for a in found):
            raise SystemExit(f"scripts/bench: --with {other}: there is one of that name")
        found.append(Allocator(name, os.path.abspath(path), "from a file"))
    found.append(Allocator(LIMIT, f"{binaries}/libbump.so", "never frees"))
    return found


def machine():
    """Pairs of what is worth knowing of this machine."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = re.search(r"model name\s*:\s*(.*)", file.read())
    with open("/proc/meminfo", encoding="utf-8") as file:
        memory = int(re.search(r"MemTotal:\s*(\d+)", file.read()).group(1))
    with open("/etc/debian_version", encoding="utf-8") as file:
        debian = file.read().strip()
    with open("/proc/loadavg", encoding="utf-8") as file:
        load = file.read().split()[0]
    return [
        ("processor", model.group(1) if model else platform.machine()),
        ("cores", str(len(os.sched_getaffinity(0)))),
        ("memory", f"{memory / 2**20:.1f} GiB"),
        ("kernel", f"{platform.system()} {platform.release()}"),
        ("Debian", debian),
        ("huge pages", huge_pages()),
        ("a page fault", f"about {page_fault() * 1e6:.2g} µs"),
        ("load when it began", load),
    ]


def huge_pages():
    try:
        with open("/sys/kernel/mm/transparent_hugepage/enabled", encoding="utf-8") as file:
            return re.search(r"\[(\w+)\]", file.read()).group(1)
    except OSError:
        return "none"


def page_fault():
    """Seconds to get a page from the system: what giving memory back may cost."""
    pages = 4096
    with mmap.mmap(-1, pages * mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        begin = time.process_time()
        for place in range(0, len(memory), mmap.PAGESIZE):
            memory[place] = 1
        return (time.process_time() - begin) / pages
