"""What dramatiq does with messages is counted."""

import dramatiq
import pytest
from dramatiq.brokers.stub import StubBroker
from prometheus_client import REGISTRY

from workers.middleware.metrics import JobMetrics


@pytest.fixture
def broker():
    return StubBroker(middleware=[JobMetrics()])


def count(name, **labels):
    return REGISTRY.get_sample_value(name, labels) or 0.0


@pytest.mark.filterwarnings("ignore")
def test_messages_are_counted_and_failures_too(broker):
    @dramatiq.actor(broker=broker, queue_name="counted", actor_name="counted")
    def work(fails):
        if fails:
            raise ValueError

    labels = {"queue_name": "counted", "actor_name": "counted"}
    worker = dramatiq.Worker(broker, worker_timeout=10, worker_threads=1)
    worker.start()
    for fails in (False, True):
        work.send(fails)
    broker.join("counted", fail_fast=False)
    worker.stop()
    assert count("dramatiq_messages_total", **labels) == 2
    assert count("dramatiq_message_errors_total", **labels) == 1
    assert count("dramatiq_messages_inprogress", **labels) == 0
