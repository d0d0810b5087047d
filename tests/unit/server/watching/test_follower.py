"""The thread that follows runs goes on whatever it reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from queue import Queue
from uuid import UUID

import pytest

from facnet_grpc.events.memory import MemoryEvents
from facnet_grpc.events.stream import RunEvent
from facnet_grpc.gen.facnet.v1.run_progress_pb2 import RunProgress
from facnet_grpc.model.run import RunStatus
from facnet_grpc.server.watching.follower import Follower
from facnet_grpc.server.watching.snapshot import RunSnapshot

RUN, QUIET_SECONDS = UUID(int=1), 0.05


def snapshot(percent: float) -> RunSnapshot:
    return RunSnapshot(RUN, RunStatus.PROCESSING, RunProgress(attempt=1, percent=percent))


class Broken(MemoryEvents):
    """Events whose reader raises what nobody expects."""

    def tail(self, after: Mapping[UUID, str], *, block_seconds: float) -> list[RunEvent]:
        raise TypeError


class Followed:
    """A follower of a run, and what it published; PostgreSQL has the run at 10 %."""

    def __init__(self, events: MemoryEvents) -> None:
        self.events, self.published = events, Queue[float]()
        self.follower = Follower(events, self._read, self._publish, quiet_seconds=QUIET_SECONDS)
        self.follower.start()
        self.follower.follow(RUN, "")

    def _read(self, run_ids: Sequence[UUID]) -> list[RunSnapshot]:
        return [snapshot(10.0) for _ in run_ids]

    def _publish(self, snapshots: list[RunSnapshot], _gone: list[UUID]) -> None:
        for found in snapshots:
            self.published.put(found.progress.percent)

    def until(self, percent: float) -> None:
        while self.published.get(timeout=30) != percent:
            pass


@pytest.fixture(params=[MemoryEvents, Broken], ids=["events", "broken events"])
def followed(request: pytest.FixtureRequest) -> Iterator[Followed]:
    made = Followed(request.param())
    yield made
    made.follower.close()


def test_postgresql_is_asked_whatever_became_of_the_events(followed: Followed) -> None:
    for _ in range(3):
        followed.until(10.0)


@pytest.mark.parametrize("followed", [MemoryEvents], indirect=True)
def test_an_unreadable_event_is_passed_over(followed: Followed) -> None:
    followed.events.publish(RunEvent(RUN, None))
    followed.events.publish(RunEvent(RUN, RunStatus.PROCESSING, snapshot(20.0).progress))
    followed.until(20.0)
    followed.events.publish(RunEvent(RUN, None))
    followed.until(10.0)
