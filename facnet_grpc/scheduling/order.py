"""The order in which queued runs are started, as a pure function of what PostgreSQL knows.

A *lane* is a queue of its own: the runs of one owner, priority and size class (small or large file), oldest first. The
next run is the first one of the lane that is chosen by, in this order:

1. priority. *Ageing*: a lane that was not served for `ageing` is treated as HIGH until it has been served once.
2. the owner: the one with the fewest runs in progress; then the one whose last run started longest ago; then the one
   who has waited longest.
3. within the owner: a lane that has aged, then the higher priority, then small before large.

Lanes are held back while their owner has the maximum number of runs in progress. Large files may not take the last free
slot while small files are queued, in progress, or were so a short while ago.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from heapq import heapify, heappop, heapreplace
from uuid import UUID

from facnet_grpc.model.run import Priority
from facnet_grpc.settings.queue import QueueSettings

RANK = {Priority.HIGH: 0, Priority.NORMAL: 1, Priority.LOW: 2}
ANY = 1 << 30  # more than there are
_NEVER = datetime.min.replace(tzinfo=UTC)
_TICK = timedelta(microseconds=1)
_Name = tuple[str, Priority, bool]
_Key = tuple[bool, int, int, datetime, datetime, str, datetime, int, bool]


@dataclass(frozen=True, slots=True)
class Lane:
    """Queued runs of one owner, priority and size class, of which at least one is due."""

    owner: str
    priority: Priority
    large: bool
    running: int  # runs in progress of this owner, of all lanes
    served_at: datetime | None  # when a run of this owner started last, of all lanes
    quiet_since: datetime  # since when this lane waits to be served: since it was served, or its first run was queued
    owner_since: datetime  # the earliest `quiet_since` of all lanes of the owner

    @property
    def name(self) -> _Name:
        """Owner, priority, and whether files are large."""
        return self.owner, self.priority, self.large

    def after(self, served: _Name, now: datetime) -> Lane:
        """Return this lane as it is after a run of the same owner, in lane `served`, has started."""
        quiet_since = now if self.name == served else self.quiet_since
        return Lane(self.owner, self.priority, self.large, self.running + 1, now, quiet_since, self.owner_since)


@dataclass(frozen=True, slots=True)
class Capacity:
    """The slots of all workers together, and who uses them."""

    slots: int  # runs that can be in progress at once; 0 if unknown
    large_running: int
    small_seen: bool  # whether a small file is queued, is in progress, or was a short while ago


@dataclass(frozen=True, slots=True)
class WaitingRun:
    """A queued run that is due."""

    id: UUID
    lane: _Name
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ScheduledRun:
    """A run in scheduling order. One that is held back can start only after another run has ended."""

    run: WaitingRun
    held_back: bool


@dataclass(frozen=True, slots=True)
class SchedulingPolicy:
    """The settings. `most_active` returns how many runs of an owner may be in progress; 0 for any number."""

    ageing: timedelta | None
    small_file_seconds: float
    most_active: Callable[[str], int]

    @classmethod
    def of(cls, settings: QueueSettings) -> SchedulingPolicy:
        """Return the policy of the settings."""
        ageing = timedelta(seconds=settings.ageing_seconds) if settings.ageing_seconds else None
        return cls(ageing, settings.small_file_seconds, settings.most_active)


@dataclass(frozen=True, slots=True)
class Queue:
    """The state of the queue at one moment."""

    lanes: Sequence[Lane]
    capacity: Capacity
    now: datetime

    def order(self, policy: SchedulingPolicy) -> list[Lane]:
        """Return the lanes from which a run can start now, the next one first."""
        keyed = [(self._key(lane, self.capacity, policy), lane) for lane in self.lanes]
        return [lane for key, lane in sorted(keyed, key=lambda pair: pair[0]) if not key[0]]

    def held_back(self, policy: SchedulingPolicy) -> list[Lane]:
        """Return the lanes from which no run can start now, however many workers are idle."""
        return [lane for lane in self.lanes if _is_held_back(lane, self.capacity, policy)]

    def order_runs(self, waiting: Iterable[WaitingRun], policy: SchedulingPolicy) -> list[ScheduledRun]:
        """Return runs in the order in which they would start if no run were added and none ended.

        `waiting` holds the runs of each lane, oldest first. Runs that are held back come last.
        """
        queued: dict[_Name, list[WaitingRun]] = {}
        for run in waiting:
            queued.setdefault(run.lane, []).append(run)
        for runs in queued.values():
            runs.reverse()
        owners: dict[str, list[Lane]] = {}
        for lane in self.lanes:
            if lane.name in queued:
                owners.setdefault(lane.owner, []).append(lane)
        return self._order(owners, queued, policy)

    def _order(
        self, owners: dict[str, list[Lane]], queued: dict[_Name, list[WaitingRun]], policy: SchedulingPolicy
    ) -> list[ScheduledRun]:
        capacity, now = self.capacity, self.now
        line: list[ScheduledRun] = []
        turns = [self._best(lanes, capacity, policy) for lanes in owners.values()]
        heapify(turns)
        while turns:
            key, _, name = turns[0]
            owner, _, large = name
            # A large file may not have been held back when its owner was looked at last.
            if large and (now_best := self._best(owners[owner], capacity, policy))[0] != key:
                heapreplace(turns, now_best)
                continue
            line.append(ScheduledRun(queued[name].pop(), held_back=key[0]))
            now += _TICK
            if large:
                capacity = replace(capacity, large_running=capacity.large_running + 1)
            owners[owner] = [lane.after(name, now) for lane in owners[owner] if queued[lane.name]]
            if owners[owner]:
                heapreplace(turns, self._best(owners[owner], capacity, policy))
            else:
                heappop(turns)
        return line

    def _best(self, lanes: list[Lane], capacity: Capacity, policy: SchedulingPolicy) -> tuple[_Key, str, _Name]:
        return min((self._key(lane, capacity, policy), lane.owner, lane.name) for lane in lanes)

    def _key(self, lane: Lane, capacity: Capacity, policy: SchedulingPolicy) -> _Key:
        """Return the sort key of a lane; its first item is whether the lane is held back."""
        rank = RANK[lane.priority]
        aged = policy.ageing is not None and self.now - lane.quiet_since >= policy.ageing
        return (
            _is_held_back(lane, capacity, policy),
            0 if aged else rank,
            lane.running,
            lane.served_at or _NEVER,
            lane.owner_since,
            lane.owner,
            lane.quiet_since if aged else self.now,
            rank,
            lane.large,
        )


def _is_held_back(lane: Lane, capacity: Capacity, policy: SchedulingPolicy) -> bool:
    most = policy.most_active(lane.owner)
    if most and lane.running >= most:
        return True
    return lane.large and capacity.large_running >= max_large_running(capacity, policy)


def max_large_running(capacity: Capacity, policy: SchedulingPolicy) -> int:
    """Return how many large files may be in progress: all slots but one, if there are small files."""
    keeps_one_free = capacity.slots > 1 and capacity.small_seen and policy.small_file_seconds > 0
    return capacity.slots - 1 if keeps_one_free else ANY
