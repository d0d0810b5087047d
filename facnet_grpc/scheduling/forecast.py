"""When runs will probably have ended: from their own progress, or from their place in the line and the pace of late."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from heapq import heapify, heappop, heappush
from typing import Self
from uuid import UUID

from facnet_grpc.scheduling.order import Turn

MIN_PERCENT = 5.0  # before that the past of a run says nothing about its rest
SPREAD = 4  # the largest file must be so many times the smallest one for the two to tell what a byte costs


@dataclass(frozen=True, slots=True)
class Done:
    """A run that was completed lately."""

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
    """How long a file takes: something for each, and something for each byte."""

    base_seconds: float
    seconds_per_byte: float

    @classmethod
    def of(cls, done: Sequence[Done]) -> Self | None:
        """Return the pace of runs: by least squares if sizes differ enough, else by the byte; None without any."""
        octets, seconds = sum(run.size_bytes for run in done), sum(run.seconds for run in done)
        if not octets or seconds <= 0:
            return None
        sizes = [run.size_bytes for run in done]
        if max(sizes) >= SPREAD * min(sizes):
            mean_size, mean_seconds = octets / len(done), seconds / len(done)
            spread = sum((size - mean_size) ** 2 for size in sizes)
            slope = sum((run.size_bytes - mean_size) * (run.seconds - mean_seconds) for run in done) / spread
            base = mean_seconds - slope * mean_size
            if slope > 0 and base >= 0:
                return cls(base, slope)
        return cls(0.0, seconds / octets)

    def seconds(self, size_bytes: int) -> float:
        """Return how long a file of this size takes."""
        return self.base_seconds + self.seconds_per_byte * size_bytes

    def left(self, run: Running) -> float:
        """Return how long a run in progress still takes, in seconds."""
        rest = left(timedelta(seconds=run.seconds), run.percent)
        return max(0.0, self.seconds(run.size_bytes) - run.seconds) if rest is None else rest.total_seconds()


def left(spent: timedelta, percent: float) -> timedelta | None:
    """Return how long the rest takes if it goes on like the part that is done; None if that says nothing yet."""
    return spent * ((100 - percent) / percent) if percent >= MIN_PERCENT else None


class SlotHeap:
    """Lets no more than `places` runs be in progress at once."""

    def __init__(self, places: int, ends: Iterable[float]) -> None:
        """Begin with runs in progress that end in so many seconds."""
        self._places = places
        self._ends = list(ends)
        heapify(self._ends)

    def opens(self) -> float:
        """Return when there is a place, in seconds, and take it."""
        return heappop(self._ends) if len(self._ends) >= self._places else 0.0

    def closes(self, end: float) -> None:
        """Give the place back at `end`."""
        heappush(self._ends, end)


def forecast(
    line: Sequence[Turn],
    running: Sequence[Running],
    pace: Pace,
    *,
    slots: int,
    most_active: Callable[[str], int],
    places_for_large: int,
) -> dict[UUID, float]:
    """Return in how many seconds each waiting run will have ended.

    Each is begun in its turn, by whichever worker is free first; and if it is large, or its owner may have so many in
    progress only, once there is a place for it.
    """
    ends = [(run, pace.left(run)) for run in running]
    everybody = SlotHeap(max(slots, len(ends)), [end for _, end in ends])
    large = SlotHeap(places_for_large, [end for run, end in ends if run.large])
    owners: dict[str, SlotHeap] = {}
    found: dict[UUID, float] = {}
    for turn in line:
        owner, _, is_large = turn.run.lane
        gates = [everybody, large] if is_large else [everybody]
        if most := most_active(owner):
            if owner not in owners:
                owners[owner] = SlotHeap(most, [end for run, end in ends if run.owner == owner])
            gates.append(owners[owner])
        end = max(gate.opens() for gate in gates) + pace.seconds(turn.run.size_bytes)
        for gate in gates:
            gate.closes(end)
        found[turn.run.id] = end
    return found
