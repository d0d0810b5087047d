from datetime import UTC, datetime
from uuid import UUID

import pytest

from facnet_grpc.gen.facnet.v1 import validation_pb2
from facnet_grpc.model.run import (
    TERMINAL,
    TRANSITIONS,
    Priority,
    Run,
    RunPhase,
    RunStatus,
    SeverityCounts,
    job_id,
    sources,
)

RUN_ID = UUID("0197b6a0-0000-7000-8000-000000000001")


def test_every_state_is_in_the_table():
    assert set(TRANSITIONS) == set(RunStatus)
    assert all(targets <= set(RunStatus) for targets in TRANSITIONS.values())


def test_nothing_leaves_a_terminal_state_but_a_retry_of_a_failure():
    assert {status: set(TRANSITIONS[status]) for status in TERMINAL} == {
        RunStatus.COMPLETED: set(),
        RunStatus.CANCELLED: set(),
        RunStatus.FAILED: {RunStatus.QUEUED},
    }


def test_every_state_can_be_reached_and_every_run_can_end():
    reached, frontier = {RunStatus.QUEUED}, [RunStatus.QUEUED]
    while frontier:
        new = TRANSITIONS[frontier.pop()] - reached
        reached |= new
        frontier += new
    assert reached == set(RunStatus)
    assert all(targets & TERMINAL for status, targets in TRANSITIONS.items() if not status.is_terminal)


def test_results_only_come_from_work():
    assert sources(RunStatus.COMPLETED) == [RunStatus.PROCESSING]
    assert sources(RunStatus.QUEUED) == [RunStatus.FAILED, RunStatus.PROCESSING]
    assert sources(RunStatus.PROCESSING) == [RunStatus.QUEUED]


@pytest.mark.parametrize("status", RunStatus)
def test_terminal(status):
    assert status.is_terminal == (status in {"COMPLETED", "FAILED", "CANCELLED"})


@pytest.mark.parametrize(
    ("enum", "proto", "prefix"),
    [
        (RunStatus, validation_pb2.ValidationStatus, "VALIDATION_STATUS_"),
        (RunPhase, validation_pb2.ValidationPhase, "VALIDATION_PHASE_"),
        (Priority, validation_pb2.Priority, "PRIORITY_"),
    ],
)
def test_the_api_has_the_same_names(enum, proto, prefix):
    assert {prefix + member.value for member in enum} | {prefix + "UNSPECIFIED"} == set(proto.keys())


def test_job_id_is_the_one_that_older_clients_know():
    run = Run(
        *(RUN_ID, "local", "f.csv", 1, "0" * 64, None, RunStatus.QUEUED, None),
        *(0.0, 0, 0, 0, 0, SeverityCounts(), 0, datetime.now(UTC)),
    )

    assert run.job_id == job_id(RUN_ID) == f"validation-{RUN_ID}"
