"""readers.py LIBRARY: readers that are gone, stalled or slow, for outputs_test.

And a terminal, and a file that may not grow. Each is where AO_MALLOC_STATS leads.
"""

import json
import os
import pty
import resource
import select
import signal
import socket
import subprocess
import sys
import time

os.environ.update(LD_PRELOAD=sys.argv[1], AO_MALLOC_ENABLE_MMAP="1",
                  AO_MALLOC_STATS_FORMAT="json")
program = ["gawk", 'BEGIN { getline; exit 7 }']


def start(stats, **more):
    environment = dict(os.environ, AO_MALLOC_STATS=stats, AO_MALLOC_DUMP_SIGNAL="USR2")
    return subprocess.Popen(program, env=environment, stdin=subprocess.PIPE, **more)


def end(process):
    try:
        process.stdin.close()
        status = process.wait(timeout=30)
    finally:
        process.kill()
    assert status == 7, status


def read_all(descriptor, process):
    """What comes until the process has ended."""
    data = b""
    while True:
        ended = process.poll() is not None
        while select.select([descriptor], [], [], 0.1)[0]:
            try:
                part = os.read(descriptor, 65536)
            except OSError:  # a terminal that nobody has open any more
                part = b""
            if not part:
                return data
            data += part
        if ended:
            return data


def is_report(data):
    lines = data.decode().splitlines()
    return len(lines) == 1 and json.loads(lines[0])["occasion"] == "at exit"


def fill(descriptor):
    os.set_blocking(descriptor, False)
    count = 0
    try:
        while True:
            count += os.write(descriptor, b"\0" * 4096)
    except BlockingIOError:
        return count


# A pipe, or a socket, whose reader has gone: no signal, neither at the end nor in
# the middle.
for ends in (os.pipe(), tuple(s.detach() for s in socket.socketpair())):
    process = start("1", stderr=ends[1])
    os.close(ends[0])
    while b"gawk" not in open(f"/proc/{process.pid}/comm", "rb").read():
        time.sleep(0.01)
    wait_for = 1 << (signal.SIGUSR2 - 1)
    while True:  # until it handles the signal
        status = open(f"/proc/{process.pid}/status", encoding="ascii").read()
        if int(status.split("SigCgt:")[1].split()[0], 16) & wait_for:
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGUSR2)
    end(process)
    os.close(ends[1])

# A FIFO whose reader stalls: given up. One whose reader is slow: all of it.
fifo = os.open("fifo", os.O_RDWR)
filled = fill(fifo)
began = time.monotonic()
end(start("fifo"))
assert time.monotonic() - began < 10, "it waits for a reader"
process = start("fifo")
process.stdin.close()
data = read_all(fifo, process)
assert process.wait() == 7
assert is_report(data[filled:]), data[filled:]

# A terminal, where there are any: a chroot need not have them.
try:
    ours, theirs = pty.openpty()
except OSError as error:
    print("no terminal to be had:", error)
else:
    process = start(os.ttyname(theirs), start_new_session=True)
    process.stdin.close()
    assert is_report(read_all(ours, process)), "no report on a terminal"
    assert process.wait() == 7

# No signal for a file that may not grow.
process = start("limited", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)))
end(process)
assert os.path.getsize("limited") <= 100
