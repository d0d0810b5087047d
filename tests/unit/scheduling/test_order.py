"""Whose turn it is, by itself; that PostgreSQL tells the same is in tests/integration/storage/test_claims.py."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facnet_grpc.model.run import Priority
from facnet_grpc.scheduling.order import Capacity, Lane, Queue, SchedulingPolicy, WaitingRun

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LOW, NORMAL, HIGH = Priority


def ago(seconds):
    return NOW - timedelta(seconds=seconds)


def lane(owner="a", priority=NORMAL, *, large=False, running=0, served=None, quiet=1.0, waits=1e4):
    return Lane(owner, priority, large, running, None if served is None else ago(served), ago(quiet), ago(waits))


def rules(*, ageing=600.0, small_file_seconds=300.0, most=0, **exceptions):
    return SchedulingPolicy(
        timedelta(seconds=ageing) if ageing else None,
        small_file_seconds,
        lambda owner: exceptions.get(owner, most),
    )


def queue(*lanes, slots=0, large_running=0, small_seen=False):
    return Queue(lanes, Capacity(slots, large_running, small_seen), NOW)


def order(*lanes, under=None, **capacity):
    return queue(*lanes, **capacity).order(under or rules())


def line(state, counts, under=None):
    """The line as the names of lanes, with so many runs in each."""
    ids = (UUID(int=number) for number in count())
    waiting = [
        WaitingRun(next(ids), one.name, 1) for one, many in zip(state.lanes, counts, strict=True) for _ in range(many)
    ]
    return [turn.run.lane[0] for turn in state.order_runs(waiting, under or rules())]


def test_priority_comes_before_everything_else():
    low, normal, high = lane("a", LOW), lane("b", NORMAL), lane("c", HIGH, running=5, served=1)
    assert order(low, normal, high) == [high, normal, low]


def test_who_has_least_in_progress_is_next_then_who_was_served_longest_ago():
    busy, lately, long_ago = lane("a", running=2), lane("b", served=5), lane("c", served=50)
    never, nor_he = lane("e", waits=9), lane("d", waits=8)
    assert order(busy, lately, nor_he, never, long_ago) == [never, nor_he, long_ago, lately, busy]


def test_an_owners_small_files_come_before_its_large_ones():
    large, small = lane(large=True, quiet=500), lane(quiet=1)
    assert order(large, small) == [small, large]


@pytest.mark.parametrize("priority", Priority)
def test_a_lane_that_had_no_turn_for_long_counts_as_high_once(priority):
    aged, high = lane("a", priority, quiet=600, served=700), lane("b", HIGH, served=10)
    assert order(aged, high) == [aged, high]
    if priority is not HIGH:
        assert order(high, lane("a", priority, quiet=599, served=700))[0] == high


def test_an_owners_own_high_runs_do_not_starve_its_low_ones():
    aged, high = lane("a", LOW, quiet=601), lane("a", HIGH)
    assert order(high, aged) == [aged, high]


def test_age_gives_one_turn_and_not_precedence_for_a_whole_backlog():
    state = queue(lane("a", quiet=9000), lane("b", HIGH, quiet=1))
    assert line(state, [4, 3]) == ["a", "b", "b", "b", "a", "a", "a"]


def test_without_ageing_priority_rules_for_ever():
    aged, high = lane("a", LOW, quiet=1e6), lane("b", HIGH, running=9)
    assert order(aged, high, under=rules(ageing=0)) == [high, aged]


def test_owners_take_turns():
    assert line(queue(lane("a"), lane("b"), lane("c")), [5, 2, 1]) == ["a", "b", "c", "a", "b", "a", "a", "a"]


def test_what_is_in_progress_counts():
    assert line(queue(lane("a", running=2, served=1), lane("b")), [3, 4]) == ["b", "b", "a", "b", "a", "b", "a"]


def test_an_owner_who_has_as_much_as_allowed_is_passed_over():
    full, other = lane("a", HIGH, running=2), lane("b", LOW, running=1)
    assert order(full, other, under=rules(most=2)) == [other]
    assert order(full, other, under=rules(most=2, a=3)) == [full, other]
    assert order(full, other, under=rules(most=2, a=0)) == [full, other]
    assert line(queue(full, other), [1, 2], rules(most=2)) == ["b", "a", "b"]


@pytest.mark.parametrize(
    ("slots", "large_running", "small_seen", "begun"),
    [
        (0, 5, True, True),  # not known how many places there are
        (1, 0, True, True),  # the only place
        (2, 0, True, True),
        (2, 1, True, False),  # the last place, and small files are about
        (2, 1, False, True),
        (4, 2, True, True),
        (4, 3, True, False),
    ],
)
def test_the_last_place_is_kept_free_of_large_files_while_small_ones_are_about(slots, large_running, small_seen, begun):
    large = lane(large=True)
    capacity = {"slots": slots, "large_running": large_running, "small_seen": small_seen}
    assert order(large, **capacity) == ([large] if begun else [])
    assert order(large, under=rules(small_file_seconds=0), **capacity) == [large]


def test_large_files_beyond_their_places_are_at_the_end_of_the_line():
    state = queue(lane("a", large=True), lane("b"), lane("c", large=True), slots=2, small_seen=True)
    ids = (UUID(int=number) for number in count())
    turns = state.order_runs([WaitingRun(next(ids), one.name, 1) for one in state.lanes for _ in range(2)], rules())
    assert [(turn.run.lane[0], turn.held_back) for turn in turns] == [
        ("a", False),
        ("b", False),
        ("b", False),
        ("c", True),
        ("a", True),
        ("c", True),
    ]


def test_the_line_begins_with_the_lane_that_is_next():
    state = queue(lane("a", running=1), lane("b", LOW, quiet=700), lane("c", large=True), lane("c", served=5))
    assert line(state, [1, 1, 1, 1])[0] == state.order(rules())[0].owner


LANES = st.dictionaries(
    st.tuples(st.sampled_from("abc"), st.sampled_from(Priority), st.booleans()),
    st.tuples(st.integers(1, 4), st.integers(0, 1200)),
    max_size=8,
)
OWNERS = st.fixed_dictionaries(
    {owner: st.tuples(st.integers(0, 3), st.none() | st.integers(1, 900)) for owner in "abc"}
)


@given(LANES, OWNERS, st.integers(0, 4), st.integers(0, 3), st.integers(0, 3), st.booleans())
def test_the_line_is_what_claims_one_by_one_would_make_of_it(lanes, owners, slots, large_running, most, small_seen):
    under, capacity = rules(most=most), Capacity(slots, large_running, small_seen)
    left, state = {}, []
    for (owner, priority, large), (many, quiet) in lanes.items():
        running, served = owners[owner]
        state.append(lane(owner, priority, large=large, running=running, served=served, quiet=quiet))
        left[state[-1].name] = many
    waiting = [WaitingRun(UUID(int=0), name, 1) for name, many in left.items() for _ in range(many)]
    line = [turn.run.lane for turn in Queue(state, capacity, NOW).order_runs(waiting, under) if not turn.held_back]
    claimed, now = [], NOW
    while possible := Queue([one for one in state if left[one.name]], capacity, NOW).order(under):
        name, now = possible[0].name, now + timedelta(microseconds=1)
        claimed.append(name)
        left[name] -= 1
        capacity = replace(capacity, large_running=capacity.large_running + name[2])
        state = [one.after(name, now) if one.owner == name[0] else one for one in state]
    assert line == claimed


def test_nobody_waits():
    assert order() == []
    assert line(queue(), []) == []
