"""Several things at once, handed over one by one."""

from __future__ import annotations

from contextlib import closing
from contextvars import ContextVar
from threading import Barrier, Event, Lock, current_thread

import pytest

from facnet_grpc.rules.table.parallel import map_ordered

SOON = 30.0  # seconds after which a test has failed; nothing waits that long
said = ContextVar("said", default="nothing")


class Counter:
    """Counts how many are at it, and the most there were."""

    def __init__(self):
        self.lock, self.now, self.most = Lock(), 0, 0

    def __enter__(self):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)

    def __exit__(self, *_):
        with self.lock:
            self.now -= 1


@pytest.mark.parametrize("lanes", [2, 3])
def test_as_many_as_there_are_lanes_are_done_at_once_and_no_more(lanes):
    together, counter = Barrier(lanes), Counter()

    def work(thing):
        with counter:
            together.wait(SOON)
        return thing * 10

    assert sorted(map_ordered(work, range(6), lanes)) == [0, 10, 20, 30, 40, 50]
    assert counter.most == lanes


def test_they_are_handed_over_as_they_end():
    second = Event()

    def work(thing):
        if thing == "slow":
            assert second.wait(SOON)
        return thing

    with closing(map_ordered(work, ["slow", "first", "second"], 2)) as done:
        assert [next(done), next(done)] == ["first", "second"]
        second.set()
        assert list(done) == ["slow"]


@pytest.mark.parametrize(("things", "lanes"), [([1, 2, 3], 1), ([1], 4), ([], 4)])
def test_where_there_is_nothing_to_share_out_nobody_else_works(things, lanes):
    threads = list(map_ordered(lambda _: current_thread(), things, lanes))
    assert threads == [current_thread()] * len(things)


def test_work_sees_what_its_caller_says():
    token = said.set("a run")
    try:
        assert list(map_ordered(lambda _: said.get(), range(5), 2)) == ["a run"] * 5
    finally:
        said.reset(token)


def test_nothing_is_begun_once_the_caller_has_enough_and_what_was_begun_ends():
    begun, ended, enough = [], [], Event()

    def work(thing):
        begun.append(thing)
        if thing == "long":
            assert enough.wait(SOON)
        ended.append(thing)
        return thing

    with closing(map_ordered(work, ["long", "short", "never"], 2)) as done:
        assert next(done) == "short"
        enough.set()
    assert (sorted(begun), sorted(ended)) == (["long", "short"], ["long", "short"])


def test_what_work_raises_goes_through_when_the_others_have_ended():
    raised, ended = Event(), []

    def work(thing):
        if thing == "bad":
            raised.set()
            raise KeyError(thing)
        if thing == "good":
            assert raised.wait(SOON)
        ended.append(thing)

    with pytest.raises(KeyError):
        list(map_ordered(work, ["bad", "good"], 2))
    assert ended == ["good"]
