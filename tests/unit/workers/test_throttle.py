"""Events: at most ten a second, at least one, and a pause when nobody listens."""

from __future__ import annotations

import pytest

from workers.validation.progress import Throttle


def test_the_first_event_is_due_at_once():
    assert Throttle().due(0.0, changed=False)


@pytest.mark.parametrize(
    ("after", "changed", "due"),
    [(0.05, True, False), (0.1, True, True), (0.5, False, False), (1.0, False, True)],
)
def test_a_change_waits_a_tenth_of_a_second_and_silence_lasts_one(after, changed, due):
    throttle = Throttle()
    throttle.sent(10.0)
    assert throttle.due(10.0 + after, changed=changed) is due


def test_after_a_failure_the_next_try_is_a_second_later():
    throttle = Throttle()
    throttle.failed(10.0)
    assert not throttle.due(10.9, changed=True)
    assert throttle.due(11.0, changed=True)


def test_ten_a_second_however_fast_things_change():
    throttle, sent = Throttle(), 0
    for millisecond in range(1000):
        now = 5.0 + millisecond / 1000
        if throttle.due(now, changed=True):
            throttle.sent(now)
            sent += 1
    assert 9 <= sent <= 10
