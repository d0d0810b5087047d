"""Whose turn it is: the order in which waiting runs are begun, as a function of what PostgreSQL knows.

Runs wait in lanes: one for each owner, priority and size class (small, large), oldest first. Which lane is next:

1. the one of higher priority; a lane that had no turn for `ageing` counts as HIGH until it had one;
2. of these, the owner with the fewest runs in progress, then the one whose last run was begun longest ago, then the one
   who waits longest;
3. of these, a lane that has aged, then higher priority, then small before large.

Left out are owners who have as many runs in progress as they may, and large files while the last place without one is
kept for small ones.
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
    """Waiting runs of one owner, priority and size class, of which at least one is due."""

    owner: str
    priority: Priority
    large: bool
    running: int  # runs of this owner in progress, of any lane
    served_at: datetime | None  # when a run of this owner was begun last, of any lane
    quiet_since: datetime  # since when this lane waits for its turn: it had one, or its first run came
    owner_since: datetime  # the earliest of these of all lanes of the owner

    @property
    def name(self) -> _Name:
        """What tells it from others."""
        return self.owner, self.priority, self.large

    def after(self, served: _Name, now: datetime) -> Lane:
        """Return this lane after a run of the same owner, in lane `served`, was begun."""
        quiet_since = now if self.name == served else self.quiet_since
        return Lane(self.owner, self.priority, self.large, self.running + 1, now, quiet_since, self.owner_since)


@dataclass(frozen=True, slots=True)
class Capacity:
    """What workers can do at once, all together."""

    slots: int  # 0: not known
    large_running: int
    small_seen: bool  # whether a small file waits, is in progress, or was not long ago


@dataclass(frozen=True, slots=True)
class WaitingRun:
    """A run that is due."""

    id: UUID
    lane: _Name
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Turn:
    """A waiting run at its place in the line. One that is held back may only be begun once another one has ended."""

    run: WaitingRun
    held_back: bool


@dataclass(frozen=True, slots=True)
class SchedulingPolicy:
    """What is configured. `most_active` says how many runs of an owner may be in progress; 0: any number."""

    ageing: timedelta | None
    small_file_seconds: float
    most_active: Callable[[str], int]

    @classmethod
    def of(cls, settings: QueueSettings) -> SchedulingPolicy:
        """Return the rules that settings say."""
        ageing = timedelta(seconds=settings.ageing_seconds) if settings.ageing_seconds else None
        return cls(ageing, settings.small_file_seconds, settings.most_active)


@dataclass(frozen=True, slots=True)
class Queue:
    """The state of the queue at one moment."""

    lanes: Sequence[Lane]
    fleet: Capacity
    now: datetime

    def order(self, rules: SchedulingPolicy) -> list[Lane]:
        """Return the lanes from which a run may be begun now, the next one first."""
        keyed = [(self._key(lane, self.fleet, rules), lane) for lane in self.lanes]
        return [lane for key, lane in sorted(keyed, key=lambda pair: pair[0]) if not key[0]]

    def held_back(self, rules: SchedulingPolicy) -> list[Lane]:
        """Return the lanes from which no run may be begun now, however many workers are idle."""
        return [lane for lane in self.lanes if _is_held_back(lane, self.fleet, rules)]

    def line_up(self, waiting: Iterable[WaitingRun], rules: SchedulingPolicy) -> list[Turn]:
        """Return runs in the order in which they would be begun if nothing new came and nothing ended.

        `waiting` are those of each lane, oldest first. What may not be begun now comes last.
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
        return self._deal(owners, queued, rules)

    def _deal(
        self, owners: dict[str, list[Lane]], queued: dict[_Name, list[WaitingRun]], rules: SchedulingPolicy
    ) -> list[Turn]:
        fleet, now = self.fleet, self.now
        line: list[Turn] = []
        turns = [self._best(lanes, fleet, rules) for lanes in owners.values()]
        heapify(turns)
        while turns:
            key, _, name = turns[0]
            owner, _, large = name
            # A large file may not have been held back when its owner was looked at last.
            if large and (now_best := self._best(owners[owner], fleet, rules))[0] != key:
                heapreplace(turns, now_best)
                continue
            line.append(Turn(queued[name].pop(), held_back=key[0]))
            now += _TICK
            if large:
                fleet = replace(fleet, large_running=fleet.large_running + 1)
            owners[owner] = [lane.after(name, now) for lane in owners[owner] if queued[lane.name]]
            if owners[owner]:
                heapreplace(turns, self._best(owners[owner], fleet, rules))
            else:
                heappop(turns)
        return line

    def _best(self, lanes: list[Lane], fleet: Capacity, rules: SchedulingPolicy) -> tuple[_Key, str, _Name]:
        return min((self._key(lane, fleet, rules), lane.owner, lane.name) for lane in lanes)

    def _key(self, lane: Lane, fleet: Capacity, rules: SchedulingPolicy) -> _Key:
        """Return what to sort by: first of all, whether it may not be begun at all."""
        rank = RANK[lane.priority]
        aged = rules.ageing is not None and self.now - lane.quiet_since >= rules.ageing
        return (
            _is_held_back(lane, fleet, rules),
            0 if aged else rank,
            lane.running,
            lane.served_at or _NEVER,
            lane.owner_since,
            lane.owner,
            lane.quiet_since if aged else self.now,
            rank,
            lane.large,
        )


def _is_held_back(lane: Lane, fleet: Capacity, rules: SchedulingPolicy) -> bool:
    most = rules.most_active(lane.owner)
    if most and lane.running >= most:
        return True
    return lane.large and fleet.large_running >= places_for_large(fleet, rules)


def places_for_large(fleet: Capacity, rules: SchedulingPolicy) -> int:
    """Return how many large files may be in progress: all but one of the places, if small files are about."""
    keeps_one_free = fleet.slots > 1 and fleet.small_seen and rules.small_file_seconds > 0
    return fleet.slots - 1 if keeps_one_free else ANY
