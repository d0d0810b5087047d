"""The actor takes what the contract says and drops the rest without raising."""

from __future__ import annotations

from uuid import UUID

import pytest
from dramatiq.brokers.stub import StubBroker

from facnet_grpc.jobs.contract import QUEUE, VALIDATE, ValidateRun
from workers import actors

RUN = UUID("01890a5d-ac96-774b-bcce-b302099a8057")


@pytest.fixture
def worked_on():
    return []


@pytest.fixture
def actor(worked_on):
    return actors.declare(StubBroker(middleware=[]), worked_on.append)


def test_it_has_the_name_and_queue_of_the_contract(actor):
    assert (actor.actor_name, actor.queue_name) == (VALIDATE, QUEUE)


def test_what_the_server_sends_is_worked_on(actor, worked_on):
    actor(**ValidateRun(RUN).to_kwargs())
    assert worked_on == [RUN]


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"version": 1},
        {"version": 1, "run_id": "not an id"},
        {"version": 1, "run_id": None},
        {"version": 1, "run_id": 7},
        {"version": 2, "run_id": str(RUN)},
        {"version": 2, "run_ids": [str(RUN)]},
        {"run_id": str(RUN)},
    ],
    ids=str,
)
def test_what_it_does_not_understand_is_left_to_newer_workers(actor, worked_on, payload):
    actor(**payload)
    assert worked_on == []
