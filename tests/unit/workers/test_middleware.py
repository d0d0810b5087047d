"""What happens around jobs: opening, refusing to boot, stopping, closing, and how many messages are taken."""

from __future__ import annotations

import pytest
from dramatiq.brokers.stub import StubBroker
from dramatiq.middleware import MiddlewareError
from dramatiq.worker import Worker

from workers.middleware.lifecycle import Lifecycle, Prefetch
from workers.middleware.metrics import MetricsPage


class Part:
    """Notes what is done to it."""

    def __init__(self, name, done, error=None):
        self.name, self.done, self.error = name, done, error

    def open(self):
        if self.error is not None:
            raise self.error
        self.done.append(f"open {self.name}")

    def close(self):
        self.done.append(f"close {self.name}")


def test_parts_are_opened_in_order_and_closed_in_reverse_after_jobs_were_told():
    done = []
    lifecycle = Lifecycle([Part("a", done), Part("b", done)], lambda: done.append("stop"))
    worker = Worker(StubBroker(middleware=[lifecycle]), worker_threads=1)
    worker.start()
    assert done == ["open a", "open b"]
    worker.stop()
    assert done == ["open a", "open b", "stop", "close b", "close a"]


def test_a_part_that_does_not_open_keeps_the_worker_from_booting():
    done = []
    parts = [Part("a", done), Part("b", done, OSError("secret"))]
    worker = Worker(StubBroker(middleware=[Lifecycle(parts, lambda: None)]), worker_threads=1)
    with pytest.raises(MiddlewareError) as caught:
        worker.start()
    assert done == ["open a", "close a"]
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_worker_takes_no_more_messages_than_it_has_threads(threads):
    worker = Worker(StubBroker(middleware=[Prefetch()]), worker_threads=threads)
    worker.start()
    try:
        assert worker.queue_prefetch == threads
    finally:
        worker.stop()


def test_no_address_no_metrics_page():
    page = MetricsPage("")
    page.open()
    assert page.port is None
    page.close()
