"""What an operator asks, beside what it has to reach: turns, priorities, waits, watchers, metrics; `make bench-ops`."""

from __future__ import annotations

import argparse
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks import queueing, watching
from benchmarks.figures import machine, shown, tell_missed
from benchmarks.stack import running


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    files: int
    singles: int
    watchers: int
    events: int


USUAL = Size(files=1000, singles=200, watchers=1000, events=400)
QUICK = Size(files=20, singles=1, watchers=20, events=4)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.operations", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only to see that it works: the figures say nothing")
    size = QUICK if parser.parse_args().quick else USUAL
    print(machine(), flush=True)
    more = {"FACNET_DEV_TOKENS": queueing.tokens(), "FACNET_METRICS_LISTEN": f"127.0.0.1:{_free_port()}"}
    with tempfile.TemporaryDirectory() as name, running(more, token=queueing.TENANTS[0]) as stack:
        folder = Path(name)
        measured = shown(queueing.figures(stack, folder, size.files, size.singles))
        measured += shown(watching.figures(stack, folder, size.watchers, size.events))
    tell_missed(measured)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
