"""Keeps programs running, as a supervisor of the real world does: what ends is started again, nothing outlives it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from typing import Self

from facnet_grpc.devstack.process import Child

POLL_SECONDS = 0.02


@dataclass
class Program:
    """A program that shall run."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    child: Child | None = None
    starts: int = 0
    wanted: Flag = field(default_factory=Flag)


class Supervisor:
    """Starts programs from a thread that lives as long as they should: the kernel tells them when it ends."""

    def __init__(self, programs: Sequence[Program]) -> None:
        self.programs = {program.name: program for program in programs}
        self._stopped = Flag()
        self._thread = Thread(target=self._run, name="supervisor", daemon=True)

    def __enter__(self) -> Self:
        for program in self.programs.values():
            program.wanted.set()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def kill(self, name: str) -> None:
        """SIGKILL a program and all that it started; it is started again."""
        child = self.programs[name].child
        if child is not None:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a program, not to what it started."""
        child = self.programs[name].child
        if child is not None and child.exit_status is None:
            with suppress(ProcessLookupError):
                os.kill(child.pid, number)

    def hold(self, name: str) -> None:
        """Kill a program and do not start it again before `release`."""
        self.programs[name].wanted.clear()
        self.kill(name)

    def release(self, name: str) -> None:
        """Let a program run again."""
        self.programs[name].wanted.set()

    def _run(self) -> None:
        try:
            while not self._stopped.is_set():
                for program in self.programs.values():
                    self._look_at(program)
                time.sleep(POLL_SECONDS)
        finally:
            for program in self.programs.values():
                if program.child is not None:
                    program.child.stop(0.0)

    def _look_at(self, program: Program) -> None:
        if program.child is not None and program.child.exit_status is not None:
            program.child.stop(0.0)  # its own children, which would go on without it
            program.child = None
        if program.child is None and program.wanted.is_set():
            program.starts += 1
            program.child = Child(program.name, program.command, program.environment, program.log)


def family(root: int) -> list[int]:
    """Return a process and every living descendant of it."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if fields[0] != "Z":
                parents[int(stat.parent.name)] = int(fields[1])
    found = [root]
    for pid in found:  # grows while it is walked
        found += [child for child, parent in parents.items() if parent == pid]
    return found
