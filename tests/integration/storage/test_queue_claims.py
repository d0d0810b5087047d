"""Claims in turn, on the real database: priority, fairness, limits, and many workers at once."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from uuid import uuid4

import pytest

from facnet_grpc.errors import TerminalError
from facnet_grpc.model.run import Priority, RunStatus
from facnet_grpc.scheduling.order import SchedulingPolicy
from facnet_grpc.storage.postgres import leases, queue, runs

LOW, NORMAL, HIGH = Priority
ANY = {"lease_seconds": 60, "max_attempts": 3}


def rules(*, ageing=600.0, small_file_seconds=300.0, most=0, **exceptions):
    return SchedulingPolicy(
        timedelta(seconds=ageing) if ageing else None,
        small_file_seconds,
        lambda owner: exceptions.get(owner, most),
    )


@pytest.fixture
def claim(database):
    """Claims the next run, and tells which."""

    def next_one(under=None, **changes):
        with database.connection() as conn:
            return queue.claim_next(conn, under or rules(), **ANY | changes)

    return next_one


@pytest.fixture
def add_many(database, add):
    """Stores many runs of one owner, and returns their ids in the order in which they came."""

    def store(count, **changes):
        first = add(**changes)
        with database.connection() as conn:
            conn.execute(
                "INSERT INTO validation_runs (id, owner, file_name, size_bytes, sha256, priority, large, created_at)"
                " SELECT gen_random_uuid(), owner, file_name, size_bytes, sha256, priority, large,"
                " created_at + n * interval '1 microsecond'"
                " FROM validation_runs, generate_series(1, %s) AS n WHERE id = %s",
                (count - 1, first.id),
            )
        return first

    return store


@pytest.fixture
def change(database):
    """Changes something behind everybody's back."""

    def execute(statement, *params):
        with database.connection() as conn:
            conn.execute(statement, params)

    return execute


def workers(change, *threads):
    for count in threads:
        change(
            "INSERT INTO workers (id, release, threads, seen_at, expires_at)"
            " VALUES (%s, 'test', %s, now(), now() + interval '1 minute')",
            uuid4(),
            count,
        )


def finish(database, found):
    with database.connection() as conn:
        leases.fail(conn, found, TerminalError())


def test_a_high_run_behind_two_hundred_normal_ones_is_next(add, add_many, claim):
    add_many(200)
    assert claim().run.priority is NORMAL
    high = add(priority=HIGH)
    assert claim().run.id == high.id


def test_owners_take_turns_whoever_came_first(add, add_many, claim):
    add_many(20, owner="many")
    one, two = add(owner="few"), add(owner="few")
    served = [claim().run for _ in range(6)]
    assert [run.owner for run in served] == ["many", "few", "many", "few", "many", "many"]
    assert [run.id for run in served if run.owner == "few"] == [one.id, two.id]


def test_with_one_worker_owners_take_turns_as_well(database, add_many, claim):
    add_many(3, owner="a")
    add_many(3, owner="b")
    served = []
    for _ in range(6):
        found = claim()
        served.append(found.run.owner)
        finish(database, found)
    assert served == ["a", "b"] * 3


def test_a_run_that_is_not_due_or_has_no_attempts_left_is_passed_over(add, claim, change):
    later, exhausted, due = add(owner="a"), add(owner="b"), add(owner="c")
    change("UPDATE validation_runs SET next_attempt_at = now() + interval '1 hour' WHERE id = %s", later.id)
    change("UPDATE validation_runs SET attempt = 3 WHERE id = %s", exhausted.id)
    assert claim().run.id == due.id
    assert claim() is None
    change("UPDATE validation_runs SET next_attempt_at = now() WHERE id = %s", later.id)
    assert claim().run.id == later.id


def test_a_low_run_gets_its_turn_however_many_high_ones_come(add, add_many, claim, change):
    low = add(owner="a", priority=LOW)
    add_many(5, owner="b", priority=HIGH)
    change("UPDATE validation_runs SET created_at = created_at - interval '11 minutes' WHERE id = %s", low.id)
    assert [claim().run.priority for _ in range(3)].count(LOW) == 1


def test_an_owner_begins_no_more_than_it_may(database, add_many, claim):
    add_many(5, owner="a")
    add_many(5, owner="b")
    limited = rules(most=2, b=1)
    served = [claim(limited) for _ in range(4)]
    assert Counter(found.run.owner for found in served if found) == {"a": 2, "b": 1}
    assert served[3] is None
    finish(database, served[1])
    assert claim(limited).run.owner == served[1].run.owner


def test_the_last_place_is_kept_for_small_files_and_no_longer_than_configured(database, add, add_many, claim, change):
    workers(change, 1, 1)
    add_many(4, large=True)
    small = add(owner="other")
    first, second, third = claim(), claim(), claim()
    assert {first.run.large, second.run.large} == {True, False}
    assert third is None
    done = first if not first.run.large else second
    assert done.run.id == small.id
    finish(database, done)
    assert claim() is None  # small ones come, so the next one finds a place
    assert claim(rules(small_file_seconds=0)).run.large
    change("UPDATE validation_runs SET finished_at = now() - interval '301 seconds' WHERE id = %s", small.id)
    assert claim().run.large


@pytest.mark.parametrize("threads", [(), (1,), (1, 1, 2)])
def test_no_place_stays_empty_while_only_large_files_wait(add_many, claim, change, threads):
    workers(change, *threads)
    add_many(4, large=True)
    assert all(claim() for _ in range(max(1, sum(threads))))


def test_workers_that_are_gone_have_no_places(add_many, add, claim, change):
    workers(change, 1, 1)
    change("UPDATE workers SET expires_at = now() - interval '1 second'")
    add_many(2, large=True)
    add()
    assert [claim().run.large for _ in range(3)] == [False, True, True]


def test_a_claim_passes_over_a_run_that_somebody_else_is_taking_and_does_not_wait(database, add, claim):
    """Somebody has frozen in the middle of a claim: neither its run nor its lock may hold up the others."""
    first, second = add(), add()
    with database.connection() as frozen:
        taken = queue.claim_next(frozen, rules(), **ANY)
        began = time.monotonic()
        with database.connection() as one, database.connection() as other:
            assert queue.claim_next(one, rules(), **ANY).run.id == second.id
            assert queue.claim_next(other, rules(), **ANY) is None
        assert time.monotonic() - began < 15  # that one stays where it is
    assert taken.run.id == first.id
    assert claim() is None


def test_of_many_workers_at_once_each_gets_another_run_and_no_owner_too_many(database, add_many, claim):
    for owner in "abc":
        add_many(8, owner=owner)
    start, limited = Barrier(6), rules(most=4)

    def work(_):
        start.wait(10)
        return [found.run for _ in range(4) if (found := claim(limited))]

    with ThreadPoolExecutor(6) as pool:
        served = [run for runs_of_one in pool.map(work, range(6)) for run in runs_of_one]
    assert len({run.id for run in served}) == len(served)
    assert Counter(run.owner for run in served) == {"a": 4, "b": 4, "c": 4}


def test_the_line_is_the_order_in_which_runs_are_claimed(database, add_many, claim, change):
    workers(change, 1, 1)
    for owner, priority, large, count in [
        ("a", NORMAL, False, 4),
        ("a", HIGH, False, 1),
        ("b", NORMAL, False, 2),
        ("b", LOW, False, 2),
        ("c", NORMAL, True, 2),
        ("d", HIGH, True, 1),
    ]:
        add_many(count, owner=owner, priority=priority, large=large)
    change(
        "UPDATE validation_runs SET created_at = created_at - interval '1 hour' WHERE owner = 'b' AND priority = 'LOW'"
    )
    claim()
    with database.connection() as conn:
        _, line = queue.runs_in_order(conn, rules(most=5), max_attempts=3)
    served = []
    while found := claim(rules(most=5)):
        served.append(found.run.id)
    assert served == [turn.run.id for turn in line if not turn.held_back]
    assert len(line) == 11
    assert [turn.held_back for turn in line] == [False] * 9 + [True] * 2


def test_only_what_has_been_due_for_some_time_is_in_the_line_of_the_reconciler(database, add):
    add()
    with database.connection() as conn:
        assert len(queue.runs_in_order(conn, rules(), max_attempts=3)[1]) == 1
        assert queue.runs_in_order(conn, rules(), max_attempts=3, older_than_seconds=60)[1] == []


def test_a_run_that_is_claimed_is_as_it_says(database, add, claim):
    asked = add(large=True, traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01")
    found = claim().run
    assert (found.status, found.attempt, found.large) == (RunStatus.PROCESSING, 1, True)
    with database.connection() as conn:
        assert runs.get(conn, asked.id) == found
