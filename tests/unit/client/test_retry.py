"""How long is waited, and when it is given up."""

from __future__ import annotations

import pytest

from facnet_client.retry import Backoff, Retry

RETRY = Retry(connect=3, patience=60, first_delay=0.2, largest_delay=5)


class Clock:
    """A clock that sleeping moves."""

    def __init__(self):
        self.now = 100.0
        self.pauses = []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def clock():
    return Clock()


def backoff(clock, timeout=None):
    return Backoff(RETRY, timeout, clock=clock, sleep=clock.sleep)


def wait_until_it_gives_up(waits):
    while waits.wait():
        pass


def test_a_server_that_never_answered_is_given_up_on_soon(clock):
    wait_until_it_gives_up(backoff(clock))
    assert sum(clock.pauses) == pytest.approx(RETRY.connect)


def test_a_server_that_has_answered_gets_all_the_patience_once(clock):
    waits = backoff(clock)
    waits.connected()
    while waits.wait():
        waits.connected()
    assert sum(clock.pauses) == pytest.approx(RETRY.patience)


def test_waits_grow_to_the_largest_and_begin_again_with_progress(clock):
    waits = backoff(clock)
    waits.connected()
    for _ in range(8):
        waits.wait()
    assert 0.1 <= clock.pauses[0] <= 0.2
    assert 2.5 <= clock.pauses[-1] <= 5
    waits.progress()
    waits.wait()
    assert 0.1 <= clock.pauses[-1] <= 0.2


def test_progress_gives_all_the_patience_again(clock):
    waits = backoff(clock)
    waits.progress()
    wait_until_it_gives_up(waits)
    waits.progress()
    wait_until_it_gives_up(waits)
    assert sum(clock.pauses) == pytest.approx(2 * RETRY.patience)


def test_nothing_is_waited_for_beyond_the_deadline(clock):
    waits = backoff(clock, timeout=10)
    assert waits.remaining == 10
    waits.progress()
    wait_until_it_gives_up(waits)
    assert clock.now == pytest.approx(110)
    assert waits.remaining == 0
    waits.progress()
    assert not waits.wait()


def test_without_a_deadline_nothing_remains_to_be_counted(clock):
    assert backoff(clock).remaining is None
