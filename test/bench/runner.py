"""Runs a command under an allocator and says what it took."""

import dataclasses
import json
import os
import signal
import subprocess
import tempfile


class Failed(Exception):
    """Why there is no figure."""


@dataclasses.dataclass
class Sample:
    """One run of one row. `value` is in the unit of the row."""
    value: float
    rss_kib: int
    minor_faults: int
    cpu: float


class Runner:
    """Knows where the programs are and where files may be put."""

    def __init__(self, binaries, work, quick):
        self.binaries = binaries
        self.work = work
        self.quick = quick

    def program(self, name):
        return f"{self.binaries}/{name}"

    def run(self, allocator, command, timeout, variables=None):
        """Returns (usage, standard output), or raises Failed."""
        with tempfile.NamedTemporaryFile(dir=self.work) as usage:
            words = {**(variables or {}), **allocator.environment()}
            process = subprocess.Popen(
                [self.program("measure"), usage.name]
                + [f"{name}={value}" for name, value in words.items()] + command,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, cwd=self.work, env=environment(),
                start_new_session=True)
            try:
                output, errors = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                raise Failed(f"not done after {timeout} s") from None
            finally:
                end(process)
            try:
                took = json.load(usage)
            except ValueError:
                raise Failed("could not be measured") from None
        why = errors.decode(errors="replace").strip().splitlines()[-1:]
        if took["signal"]:
            raise Failed(": ".join([signal.Signals(took["signal"]).name] + why))
        if took["exit"]:
            raise Failed(": ".join([f"exit status {took['exit']}"] + why))
        return took, output.decode()

    def printed(self, allocator, command, timeout):
        """A sample of a program that prints its figure."""
        took, output = self.run(allocator, command, timeout)
        try:
            value = float(output)
        except ValueError:
            raise Failed(f"printed {output!r}") from None
        return Sample(value, took["rss_kib"], took["minor_faults"], took["cpu"])

    def timed(self, allocator, command, timeout, variables=None):
        """A sample of a program whose time is the figure."""
        took, _ = self.run(allocator, command, timeout, variables)
        return Sample(took["wall"], took["rss_kib"], took["minor_faults"], took["cpu"])


def environment():
    """The same for everybody."""
    return {"PATH": "/bin:/usr/bin:/usr/local/bin", "LC_ALL": "C",
            "HOME": os.environ.get("HOME", "/"), "PYTHONHASHSEED": "0"}


def end(process):
    """Ends it and all that it has started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.communicate()
