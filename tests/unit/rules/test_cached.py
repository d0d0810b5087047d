"""Properties that are worked out once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from facnet_grpc.rules.table.parallel import cached

SOON = 30.0  # seconds after which a test has failed; nothing waits that long


class Sums:
    def __init__(self, barrier=None):
        self.made, self.barrier = [], barrier

    @cached
    def one(self):
        """A number."""
        self.made.append("one")
        if self.barrier:
            self.barrier.wait(SOON)
        return object()

    @cached
    def both(self):
        self.made.append("both")
        return (self.one, self.one)

    @cached
    def wrong(self):
        self.made.append("wrong")
        raise ZeroDivisionError


def test_it_is_made_when_first_asked_for_and_kept():
    sums = Sums()
    assert sums.made == []
    assert sums.both == (sums.one, sums.one)
    assert sums.both is sums.both
    assert sums.made == ["both", "one"]
    assert Sums.one.__doc__ == "A number."


def test_whoever_asks_meanwhile_gets_the_same():
    sums, here = Sums(), Barrier(4)

    def ask(_):
        here.wait(SOON)
        return sums.both

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(ask, range(4)))
    assert {id(each) for each in found} == {id(sums.both)}
    assert sums.made == ["both", "one"]


def test_two_objects_do_not_wait_for_each_other():
    together = Barrier(2)
    first, second = Sums(together), Sums(together)
    with ThreadPoolExecutor(2) as pool:
        assert len({id(one) for one in pool.map(lambda sums: sums.one, [first, second])}) == 2


def test_what_cannot_be_made_is_tried_again():
    sums = Sums()
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            _ = sums.wrong
    assert sums.made == ["wrong", "wrong"]
