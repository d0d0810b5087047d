import pytest

from facnet_grpc.model.run import TRANSITIONS, RunStatus
from facnet_grpc.storage.postgres.sql_loader import load


def test_fragments_are_put_in():
    runs = load("runs")
    assert "rule_set_version" in runs["get"]
    assert "run_columns" not in runs
    assert not any("{run_columns}" in text or "{rank}" in text for text in runs.values())


def test_a_subject_that_is_not_there():
    with pytest.raises(FileNotFoundError):
        load("nothing")


def test_changes_that_are_written_out_exist():
    """`release`, `request_cancel` and `expired` decide in SQL where a run goes."""
    assert RunStatus.CANCELLED in TRANSITIONS[RunStatus.PROCESSING]
    assert RunStatus.CANCELLED in TRANSITIONS[RunStatus.QUEUED]
    assert TRANSITIONS[RunStatus.PROCESSING] >= {RunStatus.QUEUED, RunStatus.FAILED}
    assert RunStatus.FAILED in TRANSITIONS[RunStatus.QUEUED]
