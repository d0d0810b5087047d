"""Servers and workers of neighbouring releases understand each other: payloads as they were, are and may become.

`jobs.json` is only ever added to. A payload of a later version is left alone without an error: the run waits in
PostgreSQL until a worker of that release asks for it.
"""

from __future__ import annotations

import json
from pathlib import Path
from uuid import UUID

import pytest
from dramatiq.brokers.stub import StubBroker

from facnet_grpc.jobs.contract import PAYLOAD_VERSION, RevalidateRun, ValidateRun
from workers import actors

KNOWN = json.loads((Path(__file__).parent / "jobs.json").read_text())
ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")


@pytest.fixture
def worked_on():
    return []


@pytest.fixture
def workers(worked_on):
    broker = StubBroker(middleware=[])
    declared = (actors.declare(broker, worked_on.append), actors.declare_revalidation(broker, worked_on.append))
    return {actor.actor_name: actor for actor in declared}


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: f"{known['actor']} of {known['since']}")
def test_this_worker_does_what_it_understands_and_leaves_the_rest(known, workers, worked_on):
    workers[known["actor"]](**known["payload"])
    assert worked_on == ([ID] if known["understood"] else [])


@pytest.mark.parametrize("job", [ValidateRun(ID), RevalidateRun(ID)], ids=lambda job: job.actor)
def test_this_server_sends_what_the_oldest_worker_understands(job):
    oldest = next(one["payload"] for one in KNOWN if one["actor"] == job.actor and one["understood"])
    assert job.to_kwargs() == oldest


def test_every_version_up_to_the_present_is_kept_here():
    assert {one["payload"]["version"] for one in KNOWN if one["understood"]} == set(range(1, PAYLOAD_VERSION + 1))


def test_payloads_hold_ids_and_nothing_of_a_claim():
    sent = ValidateRun(ID, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").to_kwargs()
    assert set(sent) == {"run_id", "version", "traceparent"}
