"""One suite for both: the stream on Redis and its twin in memory."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import uuid4

import pytest
import redis

from facnet_grpc.devstack.embedded import EmbeddedValkey
from facnet_grpc.errors import InvalidInput, Reason, TransientError
from facnet_grpc.events.memory import MemoryEvents
from facnet_grpc.events.stream import (
    KEEP_EVENTS,
    KEEP_SECONDS,
    EventStream,
    RedisEvents,
    RunEvent,
    connect,
    is_position,
)
from facnet_grpc.gen.facnet.v1.run_progress_pb2 import RunProgress
from facnet_grpc.gen.facnet.v1.validation_pb2 import VALIDATION_PHASE_RULES, SeverityCounts
from facnet_grpc.model.run import RunStatus

PROGRESS = RunProgress(
    attempt=2,
    phase=VALIDATION_PHASE_RULES,
    percent=77.5,
    bytes_parsed=1,
    total_bytes=2,
    rows_parsed=3,
    rows_loaded=4,
    rows_rejected=5,
    result_counts=SeverityCounts(error=1, warning=2, optimization=3, info=4),
)


@pytest.fixture(params=["redis", "memory"])
def events(request):
    if request.param == "memory":
        return MemoryEvents()
    return RedisEvents(request.getfixturevalue("redis_client"))


@pytest.fixture
def publish(events):
    def send(run_id, percent=1.0):
        events.publish(RunEvent(run_id, RunStatus.PROCESSING, RunProgress(attempt=2, percent=percent)))

    return send


def percents(found):
    return [event.progress.percent for event in found]


def test_both_are_event_streams(events):
    checked: EventStream = events
    assert checked.latest(uuid4()) is None


@pytest.mark.parametrize(
    "event", [RunEvent(uuid4(), RunStatus.PROCESSING, PROGRESS), RunEvent(uuid4(), RunStatus.CANCELLED)]
)
def test_an_event_comes_back_as_it_was(events, event):
    events.publish(event)
    found = events.latest(event.run_id)
    assert found == replace(event, position=found.position)
    assert is_position(found.position)
    assert events.tail({event.run_id: ""}, block_seconds=1) == [found]


def test_the_latest_is_the_last(events, publish):
    run_id = uuid4()
    for percent in (1, 2, 3):
        publish(run_id, percent)
    assert events.latest(run_id).progress.percent == 3


def test_a_tail_goes_on_after_its_position(events, publish):
    run_id = uuid4()
    publish(run_id, 1)
    position = events.latest(run_id).position
    publish(run_id, 2)
    publish(run_id, 3)
    found = events.tail({run_id: position}, block_seconds=1)
    assert percents(found) == [2, 3]
    assert events.tail({run_id: found[-1].position}, block_seconds=0.01) == []


def test_many_runs_are_tailed_at_once(events, publish):
    one, two, three = uuid4(), uuid4(), uuid4()
    publish(one, 1)
    publish(two, 2)
    publish(three, 3)
    publish(one, 4)
    found = events.tail({one: "", three: "", uuid4(): ""}, block_seconds=1)
    assert percents([event for event in found if event.run_id == one]) == [1, 4]
    assert percents([event for event in found if event.run_id == three]) == [3]
    assert {event.run_id for event in found} == {one, three}


def test_nothing_new_is_waited_for_as_long_as_asked(events):
    began = time.monotonic()
    assert events.tail({uuid4(): ""}, block_seconds=0.7) == []
    assert 0.65 < time.monotonic() - began < 5
    assert events.tail({}, block_seconds=0.01) == []


def test_an_event_wakes_a_tail_at_once(events, publish):
    run_id, took = uuid4(), []
    with ThreadPoolExecutor(1) as pool:
        for percent in range(1, 6):
            position = events.latest(run_id).position if percent > 1 else ""
            waiting = pool.submit(
                lambda position=position: (events.tail({run_id: position}, block_seconds=20), time.monotonic())
            )
            time.sleep(0.02)  # most likely it waits now; it is right either way
            sent = time.monotonic()
            publish(run_id, percent)
            found, woke = waiting.result(30)
            assert percents(found) == [percent]
            took.append(woke - sent)
    assert min(took) < 0.25


def test_a_tail_is_interrupted_at_once(events):
    with ThreadPoolExecutor(1) as pool:
        began = time.monotonic()
        waiting = pool.submit(events.tail, {uuid4(): ""}, block_seconds=30)
        time.sleep(0.1)  # most likely it waits now; it is right either way
        events.interrupt()
        assert waiting.result(60) == []
    assert time.monotonic() - began < 15


def test_an_interruption_that_comes_too_early_is_not_lost_and_counts_once(events):
    events.interrupt()
    events.interrupt()
    began = time.monotonic()
    assert events.tail({uuid4(): ""}, block_seconds=30) == []
    assert time.monotonic() - began < 15
    began = time.monotonic()
    assert events.tail({uuid4(): ""}, block_seconds=0.2) == []
    assert time.monotonic() - began > 0.15


def test_an_interruption_is_for_one_tail_only(redis_client, redis_url):
    with connect(redis_url) as client:
        one, other = RedisEvents(redis_client), RedisEvents(client)
        one.interrupt()
        began = time.monotonic()
        assert other.tail({uuid4(): ""}, block_seconds=0.2) == []
        assert time.monotonic() - began > 0.15


def test_old_events_are_forgotten(events, publish):
    run_id = uuid4()
    for percent in range(3 * KEEP_EVENTS):
        publish(run_id, percent)
    found = events.tail({run_id: ""}, block_seconds=1)
    assert KEEP_EVENTS <= len(found) <= 2 * KEEP_EVENTS
    assert percents(found)[-1] == 3 * KEEP_EVENTS - 1


def test_no_event_is_missed_between_two_tails(events, publish):
    run_id, seen = uuid4(), []

    def send():
        for percent in range(150):
            publish(run_id, percent)

    sender = threading.Thread(target=send)
    sender.start()
    position = ""
    while len(seen) < 150:
        found = events.tail({run_id: position}, block_seconds=5)
        assert found
        seen += percents(found)
        position = found[-1].position
    sender.join()
    assert seen == list(range(150))


@pytest.mark.parametrize(
    "position", ["x", "1", "-1", "1-", "$", ">", "1-2-3", "9" * 20 + "-0", "1-1\n", "\u0661-\u0662"]
)
def test_a_position_that_is_none_is_refused(events, position):
    assert not is_position(position)
    with pytest.raises(InvalidInput) as caught:
        events.tail({uuid4(): position}, block_seconds=0.01)
    assert caught.value.reason is Reason.BAD_CURSOR


def test_the_largest_position_is_understood(events):
    assert events.tail({uuid4(): "9" * 18 + "-" + "9" * 18}, block_seconds=0.01) == []


def test_everything_in_redis_goes_away_by_itself_and_holds_ids_and_counts_only(redis_client):
    events, run_id = RedisEvents(redis_client), uuid4()
    events.publish(RunEvent(run_id, RunStatus.PROCESSING, PROGRESS))
    events.interrupt()
    events.tail({run_id: ""}, block_seconds=1)
    keys = redis_client.keys()
    assert keys
    assert all(0 < redis_client.ttl(key) <= KEEP_SECONDS for key in keys)
    ((_, fields),) = redis_client.xrange(f"facnet:events:{run_id}")
    assert set(fields) == {b"status", b"progress"}
    assert len(fields[b"progress"]) < 100


@pytest.mark.parametrize("protocol", [2, 3])
def test_either_protocol_will_do(redis_url, protocol):
    with redis.Redis.from_url(redis_url, protocol=protocol) as client:
        events, run_id = RedisEvents(client), uuid4()
        events.publish(RunEvent(run_id, RunStatus.QUEUED))
        (found,) = events.tail({run_id: ""}, block_seconds=1)
        assert found == events.latest(run_id)
        assert events.tail({run_id: found.position}, block_seconds=0.05) == []


def test_redis_that_is_away_is_a_passing_trouble_at_once():
    with connect("redis://127.0.0.1:1/0") as client:
        events = RedisEvents(client)
        for ask in (
            lambda: events.publish(RunEvent(uuid4(), RunStatus.QUEUED)),
            lambda: events.latest(uuid4()),
            lambda: events.tail({uuid4(): ""}, block_seconds=30),
        ):
            began = time.monotonic()
            with pytest.raises(TransientError) as caught:
                ask()
            assert caught.value.reason is Reason.BACKEND_UNAVAILABLE
            assert time.monotonic() - began < 10
        events.interrupt()


def test_a_tail_ends_when_redis_does_and_the_next_one_finds_it_again():
    with EmbeddedValkey() as server, connect(server.url) as client, ThreadPoolExecutor(1) as pool:
        events, run_id = RedisEvents(client), uuid4()
        events.publish(RunEvent(run_id, RunStatus.QUEUED))
        waiting = pool.submit(events.tail, {uuid4(): ""}, block_seconds=20)
        time.sleep(0.1)
        server.restart(crash=True)
        try:
            assert waiting.result(20) == []  # it may have reconnected unseen: then it is interrupted below
        except TransientError:
            pass
        except TimeoutError:
            events.interrupt()
            assert waiting.result(20) == []
        assert events.latest(run_id) is None
        events.publish(RunEvent(run_id, RunStatus.FAILED))
        (found,) = events.tail({run_id: ""}, block_seconds=5)
        assert found.status is RunStatus.FAILED


def test_only_the_runs_that_ended_last_keep_their_events_and_for_an_hour(redis_client):
    events, ended = RedisEvents(redis_client, keep_ended=3), [uuid4() for _ in range(5)]
    working = uuid4()
    events.publish(RunEvent(working, RunStatus.QUEUED))
    for run_id in ended:
        events.publish(RunEvent(run_id, RunStatus.COMPLETED))
    assert [events.latest(run_id) is not None for run_id in ended] == [False, False, True, True, True]
    assert events.latest(working)
    assert all(0 < redis_client.ttl(key) <= 3600 for key in redis_client.scan_iter())


def test_a_run_that_is_forgotten_leaves_no_trace(redis_client):
    events, run_id = RedisEvents(redis_client), uuid4()
    events.publish(RunEvent(run_id, RunStatus.FAILED))
    events.forget(run_id)
    assert events.latest(run_id) is None
    assert not [key for key in redis_client.scan_iter() if str(run_id).encode() in key]
    assert redis_client.zcard("facnet:ended") == 0
    events.check()
