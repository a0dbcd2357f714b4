"""measure.py LIMIT FILE COMMAND...: runs COMMAND for at most LIMIT seconds, ends
all that it has left running, and writes to FILE, as JSON, what it all took:
exit (a status, minus a signal, or null if the time was over), wall_s, cpu_s, and
rss_kib, the most that any one process had resident."""

import ctypes
import json
import os
import resource
import signal
import sys
import time

PR_SET_CHILD_SUBREAPER = 36


def leave(*_):
    end_all()
    os._exit(1)


def end_all():
    """Kills children until there are none: each one's children become ours."""
    while True:
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
            for pid in file.read().split():
                os.kill(int(pid), signal.SIGKILL)
        try:
            os.wait()
        except ChildProcessError:
            return


def run(limit, command):
    start = time.monotonic()
    pid = os.posix_spawnp(command[0], command, os.environ, setsid=True,
                          setsigdef=[signal.SIGPIPE, signal.SIGXFSZ])
    status = None
    while status is None and time.monotonic() - start < limit:
        # Orphans end here too, so it is not only pid that is waited for.
        while True:
            try:
                ended, how = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if ended == pid:
                status = os.waitstatus_to_exitcode(how)
            if not ended or ended == pid:
                break
        time.sleep(0.02)
    wall = time.monotonic() - start
    end_all()
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"exit": status, "wall_s": round(wall, 1),
            "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
            "rss_kib": usage.ru_maxrss}


def main():
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    taken = run(float(sys.argv[1]), sys.argv[3:])
    with open(sys.argv[2], "w", encoding="ascii") as file:
        json.dump(taken, file)


main()
