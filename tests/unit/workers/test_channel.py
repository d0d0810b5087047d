"""The hand-over between the two threads: order, back-pressure, errors and ways out."""

from __future__ import annotations

from threading import Event, Thread

import pytest

from facnet_grpc.errors import RunCancelled
from workers.validation.loading import Channel


def never():
    """Find nothing wrong."""


@pytest.fixture
def in_thread():
    threads = []

    def start(work):
        thread = Thread(target=work, daemon=True)
        threads.append(thread)
        thread.start()
        return thread

    yield start
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive()


def test_items_arrive_in_order_and_end(in_thread):
    channel = Channel(2)

    def send():
        for number in range(50):
            assert channel.put(number)
        channel.end()

    in_thread(send)
    assert list(channel.items(never)) == list(range(50))


def test_the_sender_is_never_further_ahead_than_the_capacity(in_thread):
    channel, sent = Channel(3), []

    def send():
        for number in range(20):
            channel.put(number)
            sent.append(number)
        channel.end()

    in_thread(send)
    for taken, _ in enumerate(channel.items(never), start=1):
        assert len(sent) <= taken + 3


def test_what_was_sent_before_an_error_arrives_before_it(in_thread):
    channel = Channel(3)
    channel.put("first")
    channel.end(ValueError("broken"))
    items = channel.items(never)
    assert next(items) == "first"
    with pytest.raises(ValueError, match="broken"):
        next(items)


def test_a_receiver_that_leaves_lets_a_waiting_sender_go(in_thread):
    channel, refused = Channel(1), Event()

    def send():
        while channel.put("more"):
            pass
        refused.set()

    in_thread(send)
    next(channel.items(never))
    channel.close()
    assert refused.wait(5)


def test_a_receiver_with_nothing_to_do_still_looks_whether_to_stop():
    channel, looks = Channel(1), []

    def cancelled_at_the_third_look():
        looks.append(1)
        if len(looks) == 3:
            raise RunCancelled

    with pytest.raises(RunCancelled):
        next(channel.items(cancelled_at_the_third_look))
