"""A file on its way from the first byte sent to the terminal event: time, phases, memory, and the floor.

Absolute figures say more of the machine than of the code; the ratio to a plain COPY, taken in the same run, says what
the pipeline costs. Medians of several runs.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from benchmarks import plain_copy, processes
from benchmarks.figures import Figure
from benchmarks.stack import Stack
from facnet_client import Phase, Status
from facnet_grpc.rules.registry import RULES
from facnet_grpc.sample.writer import write_sample

MIB = 1.048576  # MB
CORE = tuple(rule.info.id for rule in RULES)


@dataclass(frozen=True)
class Measured:
    """One file that went all the way through. Times in seconds from the first byte sent."""

    run_id: UUID
    total: float
    after_upload: float  # from the answer to the upload to the terminal event
    phases: dict[str, float]
    peak_mb: float


def measure(stack: Stack, file: Path, rule_ids: Sequence[str] = ()) -> Measured:
    """Send `file` and follow it to its end."""
    workers = stack.workers()
    processes.forget_peak(workers)
    started = time.perf_counter()
    submitted = stack.client.submit(file, rule_ids=rule_ids)
    answered = time.perf_counter()
    first_seen: dict[str, float] = {}
    for update in stack.client.watch(submitted.validation_id):
        name = update.phase.name if update.phase is not Phase.UNSPECIFIED else update.status.name
        first_seen.setdefault(name, time.perf_counter())
        if update.status.is_terminal and update.status is not Status.COMPLETED:
            sys.exit(f"the run ended {update.status}: {update.error}")
    ended = time.perf_counter()
    marks = [("UPLOAD", started), *sorted({**first_seen, "QUEUED": answered}.items(), key=lambda mark: mark[1])]
    ends = [*(at for _, at in marks[1:]), ended]
    phases = {name: end - at for (name, at), end in zip(marks, ends, strict=True) if name != "COMPLETED"}
    peak = processes.peak_mib(workers) * MIB
    return Measured(UUID(submitted.validation_id), ended - started, ended - answered, phases, peak)


@dataclass(frozen=True)
class Size:
    """Runs of one file, with the time that a plain COPY of its rows took beside each."""

    rows: int
    runs: list[Measured]
    floors: list[float]

    @classmethod
    def of(cls, stack: Stack, folder: Path, rows: int, times: int, rule_ids: Sequence[str] = ()) -> Size:
        """Measure a sample of `rows` lines `times` times."""
        file = folder / f"{rows}.csv"
        if not file.exists():
            write_sample(rows, file)
        runs, floors = [], []
        for _ in range(times):
            runs.append(measure(stack, file, rule_ids))
            floors.append(plain_copy.seconds(stack.database_url, runs[-1].run_id))
            plain_copy.forget(stack.database_url, runs[-1].run_id)
        return cls(rows, runs, floors)

    @property
    def seconds(self) -> float:
        """How long a run takes."""
        return statistics.median(run.total for run in self.runs)

    @property
    def peak_mb(self) -> float:
        """The most memory that a worker held, in MB."""
        return max(run.peak_mb for run in self.runs)

    def figures(self, name: str, at_most: float | None = None) -> list[Figure]:
        """Return time, ratio to COPY, and phases as shares of the whole."""
        ratio = statistics.median(run.total / floor for run, floor in zip(self.runs, self.floors, strict=True))
        inner = statistics.median(run.after_upload / floor for run, floor in zip(self.runs, self.floors, strict=True))
        return [
            Figure(f"{name}: end to end", self.seconds, "s"),
            Figure(f"{name}: lines per second", self.rows / self.seconds),
            Figure(f"{name}: binary COPY of the same rows", statistics.median(self.floors), "s"),
            Figure(f"{name}: end to end ÷ COPY", ratio, at_most=at_most),
            Figure(f"{name}: the same without the upload ÷ COPY", inner),
            *(Figure(f"{name}: share of {phase.lower()}", 100 * self._share(phase), "%") for phase in self._phases()),
        ]

    def _phases(self) -> list[str]:
        return list(self.runs[0].phases)

    def _share(self, phase: str) -> float:
        return statistics.median(run.phases.get(phase, 0.0) / run.total for run in self.runs)


def latency(stack: Stack, folder: Path, times: int) -> list[Figure]:
    """Measure how long a file of 1,000 lines takes to the terminal event, with all rules and with the core ones.

    From before the upload, which is one chunk: a little longer than from its last byte.
    """
    file = folder / "latency.csv"
    write_sample(1_000, file)
    figures = []
    for name, rule_ids, is_goal in (("all rules", (), False), ("core rules", CORE, True)):
        for _ in range(3):
            measure(stack, file, rule_ids)
        taken = sorted(measure(stack, file, rule_ids).total * 1000 for _ in range(times))
        named = f"1,000 lines, {name}"
        figures += [
            Figure(f"{named}: median of {times}", statistics.median(taken), "ms", at_most=100 if is_goal else None),
            Figure(f"{named}: 99 of 100", taken[int(times * 0.99) - 1], "ms", at_most=300 if is_goal else None),
        ]
    return figures
