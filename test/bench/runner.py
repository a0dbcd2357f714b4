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
    """One run of one row: its figure, in the unit of the row, and what `measure`
    says of the process."""
    value: float
    usage: dict


class Running:
    """A command that has been started under `measure`."""

    def __init__(self, process, file):
        self.process = process
        self.file = file

    def wait(self, timeout):
        """Returns (usage, standard output), or raises Failed."""
        try:
            output, errors = self.process.communicate(timeout=timeout)
            usage = json.load(self.file)
        except subprocess.TimeoutExpired:
            raise Failed(f"not done after {timeout} s") from None
        except ValueError:
            raise Failed("could not be measured") from None
        finally:
            end(self.process)
            self.file.close()
        errors = errors.decode(errors="replace")
        if "cannot be preloaded" in errors:  # The loader goes on without it.
            raise Failed("cannot be preloaded")
        why = errors.strip().splitlines()[-1:]
        if usage["signal"]:
            raise Failed(": ".join([signal.Signals(usage["signal"]).name] + why))
        if usage["exit"]:
            raise Failed(": ".join([f"exit status {usage['exit']}"] + why))
        return usage, output.decode(errors="replace")


class Runner:
    """Knows where the programs are and where files may be put."""

    def __init__(self, binaries, work, quick):
        self.binaries = binaries
        self.work = work
        self.quick = quick

    def program(self, name):
        return f"{self.binaries}/{name}"

    def start(self, allocator, command, variables=None):
        usage = tempfile.NamedTemporaryFile(dir=self.work)
        words = {**(variables or {}), **allocator.environment()}
        return Running(subprocess.Popen(
            [self.program("measure"), usage.name]
            + [f"{name}={value}" for name, value in words.items()] + command,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            cwd=self.work, env=environment(), start_new_session=True), usage)

    def printed(self, allocator, command, timeout):
        """A sample of a program that prints its figure."""
        usage, output = self.start(allocator, command).wait(timeout)
        try:
            return Sample(float(output), usage)
        except ValueError:
            raise Failed(f"printed {output!r}") from None

    def timed(self, allocator, command, timeout, variables=None, wall=False):
        """A sample of a program whose time is the figure."""
        usage, _ = self.start(allocator, command, variables).wait(timeout)
        return Sample(usage["wall" if wall else "cpu"], usage)


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
