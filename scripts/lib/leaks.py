"""leaks.py PICTURE FOLDER|PROFILE [AFTER]: what is live, by stack, for scripts/profile.

In the profiles in a folder, or in one; or what is live in the second profile and
was not in the first. It is printed, the most first, and drawn.
"""

import collections
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import flame_graphs  # noqa: E402
from heap_profile import Profile, size_text  # noqa: E402

MOST = 30  # stacks that are printed
DEPTH = 30  # calls of each


class Live:
    """What is live where: estimated bytes and blocks, and samples."""

    def __init__(self):
        self.bytes = self.blocks = self.samples = 0

    def add(self, size, blocks, samples):
        self.bytes += size
        self.blocks += blocks
        self.samples += samples


def read(path):
    try:
        profile = Profile(path)
    except OSError as error:
        sys.exit(f"aomalloc: {path}: {error.strerror}")
    if not profile.is_whole:
        sys.exit(f"aomalloc: {path} is not a whole heap profile (AO_MALLOC_PROFILE)")
    return profile


def read_all(folder):
    paths = [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name.isdigit()]
    profiles = [profile for profile in map(Profile, paths) if profile.is_whole]
    if not profiles:
        sys.exit("aomalloc: no profile: the program ended by _exit or a signal "
                 "(AO_MALLOC_DUMP_SIGNAL=USR2 takes snapshots)")
    return profiles


def live_of(profiles):
    """By stack: the names of functions, innermost first."""
    found = collections.defaultdict(Live)
    for profile in profiles:
        for stack in profile.stacks:
            if stack.live:
                calls = tuple(reversed(profile.calls(stack.addresses, exact=True)))
                if len(profiles) > 1:
                    calls += (f"{profile.program} (process {profile.process})",)
                blocks = stack.live_bytes / (stack.live_sampled_bytes / stack.live)
                found[calls].add(stack.live_bytes, blocks, stack.live)
    return found


def grown(before, after):
    """What `after` has more. Neither is a moment of the other: they are estimates."""
    found = {}
    for calls, live in after.items():
        more = Live()
        more.add(live.bytes, live.blocks, live.samples)
        if calls in before:
            was = before[calls]
            more.add(-was.bytes, -was.blocks, -was.samples)
        if more.bytes > 0:
            found[calls] = more
    return found


def lines(what, found):
    """Yields the text."""
    total = sum(live.bytes for live in found.values())
    samples = sum(live.samples for live in found.values())
    yield (f"{what}: {size_text(total)} in {len(found):,} stacks, estimated from "
           f"{samples:,} samples")
    order = sorted(found.items(), key=lambda item: (-item[1].bytes, item[0]))
    for calls, live in order[:MOST]:
        blocks = max(1, round(live.blocks))
        each = f" of {size_text(live.bytes / live.blocks)}" if live.blocks > 0 else ""
        yield ""
        yield (f"{size_text(live.bytes)} ({100 * live.bytes / total:.1f} %), "
               f"{blocks:,} block{'s' if blocks != 1 else ''}{each}")
        for call in calls[:DEPTH]:
            yield f"    {call}"
        if len(calls) > DEPTH:
            yield f"    ... {len(calls) - DEPTH} calls more"
    if len(order) > MOST:
        rest = sum(live.bytes for _, live in order[MOST:])
        yield ""
        yield f"{size_text(rest)} ({100 * rest / total:.1f} %) in {len(order) - MOST:,} stacks more"


def main(picture, source, after=None):
    if after:
        what, title = "more is live", f"What {after} has live more than {source}"
        found = grown(live_of([read(source)]), live_of([read(after)]))
    elif os.path.isdir(source):
        what, title = "live at the end", "What was live at the end"
        found = live_of(read_all(source))
    else:
        what, title = "live", f"What is live in {source}"
        found = live_of([read(source)])
    if not found:
        print(f"{what}: nothing that was sampled")
        return
    for line in lines(what, found):
        print(line)
    root = flame_graphs.Frame()
    for calls, live in found.items():
        root.add(list(reversed(calls)), live.bytes)
    svg, y = flame_graphs.graph(root, f"{what}: {size_text(root.bytes)}", 44)
    samples = sum(live.samples for live in found.values())
    flame_graphs.write(picture, title, f"estimated from {samples:,} samples. ", svg, y + 26)
    print(f"aomalloc: {picture}", file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
