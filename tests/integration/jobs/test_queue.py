"""Jobs travel by name through a real queue, which keeps nothing once they are done."""

import json
import threading
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from uuid import uuid4

import dramatiq
import pytest
from dramatiq.errors import ConnectionClosed

from facnet_grpc.devstack.embedded import EmbeddedValkey
from facnet_grpc.errors import Reason, TransientError
from facnet_grpc.jobs.contract import PAYLOAD_VERSION, QUEUE, VALIDATE, ValidateRun
from facnet_grpc.jobs.queue import JobQueue, make_broker


@pytest.fixture
def queue(redis_url):
    broker = make_broker(redis_url)
    yield JobQueue(broker)
    broker.client.close()


@pytest.fixture
def worker(redis_url):
    """Starts a worker and returns what it was asked to do."""
    broker, got = make_broker(redis_url), []
    news = threading.Condition()

    @dramatiq.actor(broker=broker, queue_name=QUEUE, actor_name=VALIDATE)
    def validate(**kwargs):
        with news:
            got.append(kwargs)
            news.notify_all()

    running = dramatiq.Worker(broker, worker_threads=2, worker_timeout=50)
    running.start()

    def wait_for(count):
        with news:
            assert news.wait_for(lambda: len(got) >= count, 10)
        broker.join(QUEUE, timeout=30_000)
        running.join()
        return got

    yield wait_for
    running.stop()
    broker.client.close()


def test_a_job_arrives_with_its_id_and_nothing_else(queue, worker):
    run_id = uuid4()
    queue.enqueue(ValidateRun(run_id))
    assert worker(1) == [{"run_id": str(run_id), "version": PAYLOAD_VERSION}]


def test_many_jobs_arrive_once_each(queue, worker):
    sent = {uuid4() for _ in range(30)}
    for run_id in sent:
        queue.enqueue(ValidateRun(run_id))
    assert sorted(kwargs["run_id"] for kwargs in worker(30)) == sorted(map(str, sent))


def test_nothing_stays_for_ever_once_a_job_is_done(queue, worker, redis_client):
    queue.enqueue(ValidateRun(uuid4()))
    worker(1)
    assert [key for key in redis_client.scan_iter() if redis_client.ttl(key) < 0] == []


def test_what_waits_holds_names_and_ids_only(queue, redis_client):
    run_id = uuid4()
    queue.enqueue(ValidateRun(run_id))
    (message,) = redis_client.hvals("facnet:jobs:validation.msgs")
    found = json.loads(message)
    assert found["kwargs"] == {"run_id": str(run_id), "version": PAYLOAD_VERSION}
    assert (found["actor_name"], found["queue_name"], found["args"]) == (VALIDATE, QUEUE, [])
    assert set(found["options"]) == {"redis_message_id"}


def test_the_message_of_a_worker_that_is_gone_comes_to_one_that_has_nothing_to_do(queue, redis_url, redis_client):
    run_id = uuid4()
    queue.enqueue(ValidateRun(run_id))
    gone, idle = make_broker(redis_url), make_broker(redis_url)
    assert len(gone.do_fetch(QUEUE, 1)) == 1
    redis_client.zadd("facnet:jobs:__heartbeats__", {gone.broker_id: 0})
    consumer = idle.consume(QUEUE, 1, 1)
    looks = (next(consumer) for _ in range(100))  # with dramatiq's own share it would be found at the thousandth
    found = next((message for message in looks if message is not None), None)
    assert found is not None
    assert found.kwargs["run_id"] == str(run_id)
    consumer.ack(found)
    assert list(redis_client.scan_iter("facnet:jobs:__acks__.*")) == []
    consumer.close()
    for broker in (gone, idle):
        broker.client.close()


def test_there_is_no_middleware_but_what_is_asked_for(redis_url):
    class Ours(dramatiq.Middleware):
        pass

    ours = Ours()
    assert make_broker(redis_url).middleware == []
    assert make_broker(redis_url, middleware=[ours]).middleware == [ours]


def test_redis_that_is_away_is_a_passing_trouble_at_once():
    queue = JobQueue(make_broker("redis://127.0.0.1:1/0"))
    began = time.monotonic()
    with pytest.raises(TransientError) as caught:
        queue.enqueue(ValidateRun(uuid4()))
    assert caught.value.reason is Reason.BACKEND_UNAVAILABLE
    assert time.monotonic() - began < 5


def test_redis_that_hangs_or_is_emptied_or_restarted():
    with EmbeddedValkey() as server:
        broker = make_broker(server.url)
        queue = JobQueue(broker)
        queue.enqueue(ValidateRun(uuid4()))
        with server.paused():
            began = time.monotonic()
            with pytest.raises(TransientError):
                queue.enqueue(ValidateRun(uuid4()))
            assert time.monotonic() - began < 5  # a second, on a machine with nothing else to do
        broker.client.flushall()
        queue.enqueue(ValidateRun(uuid4()))
        server.restart(crash=True)
        queue.enqueue(ValidateRun(uuid4()))
        assert broker.client.llen("facnet:jobs:validation") == 1
        broker.client.close()


PATIENCE = 30_000  # milliseconds that a consumer waits unless it is woken: longer than any test takes


@pytest.fixture
def take(redis_url):
    """Starts taking one message with a consumer of its own, in a thread; returns what will be the message."""
    threads = ThreadPoolExecutor()
    broker = make_broker(redis_url)
    consumers = []

    def start(*, milliseconds=PATIENCE, consumer=None):
        if consumer is None:
            consumer = broker.consume(QUEUE, 1, milliseconds)
            consumers.append(consumer)
        return threads.submit(lambda: next(message for message in consumer if message is not None)), consumer

    yield start
    threads.shutdown()
    for consumer in consumers:
        consumer.close()
    broker.client.close()


def wait_until_blocked(client, count):
    give_up = time.monotonic() + 60
    while client.info("clients")["blocked_clients"] < count:
        assert time.monotonic() < give_up
        time.sleep(0.01)


def test_a_message_wakes_whoever_waits(queue, take, redis_client):
    taking, _ = take()
    wait_until_blocked(redis_client, 1)
    run_id = uuid4()
    queue.enqueue(ValidateRun(run_id))
    assert taking.result(10).kwargs["run_id"] == str(run_id)


def test_of_several_that_wait_one_gets_the_message_and_the_others_wait_on(queue, take, redis_client):
    takings = [take()[0] for _ in range(3)]
    for left in (3, 2, 1):
        wait_until_blocked(redis_client, left)
        queue.enqueue(ValidateRun(uuid4()))
        done, _ = wait(takings, 10, return_when=FIRST_COMPLETED)
        takings = [taking for taking in takings if taking not in done]
        assert len(takings) == left - 1


def test_waiting_leaves_the_order_of_messages_alone(queue, take, redis_client):
    sent = [uuid4() for _ in range(3)]
    taking, consumer = take()
    wait_until_blocked(redis_client, 1)
    for run_id in sent:
        queue.enqueue(ValidateRun(run_id))
    got = []
    for _ in sent:
        message = taking.result(10)
        got.append(message.kwargs["run_id"])
        consumer.ack(message)
        taking, _ = take(consumer=consumer)
    assert got == list(map(str, sent))
    queue.enqueue(ValidateRun(uuid4()))  # lets the last one end
    taking.result(10)


def test_whoever_has_enough_to_do_is_woken_when_it_is_done(queue, take):
    for _ in range(2):
        queue.enqueue(ValidateRun(uuid4()))
    taking, consumer = take()
    first = taking.result(10)
    taking, _ = take(consumer=consumer)
    assert not wait([taking], 0.1).done
    consumer.ack(first)
    assert taking.result(10).message_id != first.message_id


def test_whoever_waits_hears_that_redis_has_gone(take):
    with EmbeddedValkey() as server:
        consumer = make_broker(server.url).consume(QUEUE, 1, PATIENCE)
        with make_broker(server.url).client as client:
            taking, _ = take(consumer=consumer)
            wait_until_blocked(client, 1)
        server.stop()
        with pytest.raises(ConnectionClosed):
            taking.result(10)
        consumer.close()
