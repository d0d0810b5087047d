"""Estimates of when runs end: from their own progress, or from their queue position and recently completed runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from heapq import heapify, heappop, heappush
from typing import Self
from uuid import UUID

from facnet_grpc.scheduling.order import ScheduledRun

MIN_PERCENT = 5.0  # below that, the progress of a run is no basis for an estimate
MIN_SIZE_RATIO = 4  # of the largest to the smallest file, for a linear fit


@dataclass(frozen=True, slots=True)
class Done:
    """A recently completed run."""

    size_bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Running:
    """A run in progress."""

    owner: str
    large: bool
    size_bytes: int
    percent: float
    seconds: float  # so far


@dataclass(frozen=True, slots=True)
class Pace:
    """The processing time of a file: a constant, and a time per byte."""

    base_seconds: float
    seconds_per_byte: float

    @classmethod
    def of(cls, done: Sequence[Done]) -> Self | None:
        """Return a least-squares fit if file sizes differ enough, else the mean time per byte; None without any run."""
        octets, seconds = sum(run.size_bytes for run in done), sum(run.seconds for run in done)
        if not octets or seconds <= 0:
            return None
        sizes = [run.size_bytes for run in done]
        if max(sizes) >= MIN_SIZE_RATIO * min(sizes):
            mean_size, mean_seconds = octets / len(done), seconds / len(done)
            spread = sum((size - mean_size) ** 2 for size in sizes)
            slope = sum((run.size_bytes - mean_size) * (run.seconds - mean_seconds) for run in done) / spread
            base = mean_seconds - slope * mean_size
            if slope > 0 and base >= 0:
                return cls(base, slope)
        return cls(0.0, seconds / octets)

    def seconds(self, size_bytes: int) -> float:
        """Return the processing time of a file of this size."""
        return self.base_seconds + self.seconds_per_byte * size_bytes

    def left(self, run: Running) -> float:
        """Return the remaining seconds of a run in progress."""
        rest = left(timedelta(seconds=run.seconds), run.percent)
        return max(0.0, self.seconds(run.size_bytes) - run.seconds) if rest is None else rest.total_seconds()


def left(spent: timedelta, percent: float) -> timedelta | None:
    """Return the remaining time, extrapolated from the time `spent` so far; None below `MIN_PERCENT`."""
    return spent * ((100 - percent) / percent) if percent >= MIN_PERCENT else None


class SlotHeap:
    """The slots for runs of one kind, by when they become free."""

    def __init__(self, slots: int, ends: Iterable[float]) -> None:
        """Make so many slots; `ends` are the seconds until the runs in progress end."""
        self._slots = slots
        self._ends = list(ends)
        heapify(self._ends)

    def pop(self) -> float:
        """Take the slot that is free first, and return in how many seconds that is."""
        return heappop(self._ends) if len(self._ends) >= self._slots else 0.0

    def push(self, end: float) -> None:
        """Free a slot in `end` seconds."""
        heappush(self._ends, end)


def forecast(
    line: Sequence[ScheduledRun],
    running: Sequence[Running],
    pace: Pace,
    *,
    slots: int,
    most_active: Callable[[str], int],
    max_large_running: int,
) -> dict[UUID, float]:
    """Return in how many seconds each queued run will have ended.

    `line` is in scheduling order. Each run starts as soon as a worker is free and the limits of large files and of its
    owner allow it.
    """
    ends = [(run, pace.left(run)) for run in running]
    all_slots = SlotHeap(max(slots, len(ends)), [end for _, end in ends])
    large = SlotHeap(max_large_running, [end for run, end in ends if run.large])
    owners: dict[str, SlotHeap] = {}
    found: dict[UUID, float] = {}
    for queued in line:
        owner, _, is_large = queued.run.lane
        heaps = [all_slots, large] if is_large else [all_slots]
        if most := most_active(owner):
            if owner not in owners:
                owners[owner] = SlotHeap(most, [end for run, end in ends if run.owner == owner])
            heaps.append(owners[owner])
        end = max(heap.pop() for heap in heaps) + pace.seconds(queued.run.size_bytes)
        for heap in heaps:
            heap.push(end)
        found[queued.run.id] = end
    return found
