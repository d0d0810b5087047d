"""Reference files in a folder: imported when they change, whole or not at all."""

from __future__ import annotations

import os
import time
from dataclasses import replace

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from facnet_grpc.errors import InvalidInput, LimitExceeded, TransientError
from facnet_grpc.reference.snapshot import shipped
from facnet_grpc.settings.schedule import Schedule
from facnet_grpc.storage.postgres import locks, periodic, reference
from workers import main
from workers.periodic.reference_refresh import NAME, ReferenceRefresh
from workers.scheduler import PeriodicJob, Scheduler

PLACES = "number,name,type,gmf\n50001,Clinique A,cabinet,oui\n"
CONTEXTS = "context,label,ends_on\nG160,Sans rendez-vous,\n"
BAD = "number,name,type,gmf\n50001,Clinique A,cabinet,oui\n5OOO2,Clinique B,cabinet,oui\n"


@pytest.fixture
def folder(tmp_path, database):
    yield tmp_path
    with database.connection() as conn:
        for table in ("reference_versions", "billing_codes", "establishments", "contexts"):
            conn.execute(f"DELETE FROM {table}")


@pytest.fixture
def put(folder):
    """Writes a file that has been there for a while."""

    def write(name, text, age=60):
        (folder / name).write_text(text)
        os.utime(folder / name, (time.time() - age,) * 2)

    return write


@pytest.fixture
def refresh(database, folder):
    """Runs the job as workers do, and returns its outcome."""
    job = PeriodicJob(NAME, Schedule.every(0.001), locks.REFRESH, (ReferenceRefresh(database, folder).run,))
    scheduler = Scheduler(database, [job])

    def do():
        assert scheduler.run_if_due(job)
        scheduler.update_metrics()
        with database.connection() as conn:
            return periodic.last_execution(conn, NAME).outcome

    return do


def in_force(database):
    with database.connection() as conn:
        return reference.in_force(conn)


def test_what_changes_becomes_a_version_and_what_does_not_is_left_alone(database, put, refresh):
    put("establishments.csv", PLACES)
    put("README", "not ours")
    assert refresh() == "done"
    first = in_force(database)
    assert (first.origin, first.establishment_count, first.code_count) == ("imported", 1, len(shipped().codes))
    assert first.source.startswith("establishments: establishments.csv, 20")
    assert refresh() == "done"
    assert in_force(database) == first
    put("contexts.csv", CONTEXTS)
    refresh()
    second = in_force(database)
    assert (second.establishment_count, second.context_count) == (1, 1)
    assert second.source.startswith("contexts: contexts.csv")


def test_what_somebody_brought_into_force_since_stays(database, put, refresh):
    put("establishments.csv", PLACES)
    refresh()
    with database.connection() as conn:
        reference.adopt(conn, {"establishments": {}}, source="", day=in_force(database).created_at.date())
    theirs = in_force(database)
    assert refresh() == "done"
    assert in_force(database) == theirs
    put("contexts.csv", CONTEXTS)
    refresh()
    assert (in_force(database).establishment_count, in_force(database).context_count) == (0, 1)


def failing():
    return REGISTRY.get_sample_value("facnet_periodic_job_failing", {"periodic_job": NAME})


def test_one_bad_file_changes_nothing_and_says_where_until_it_is_mended(database, put, refresh):
    before = in_force(database)
    put("contexts.csv", CONTEXTS)
    put("establishments.csv", BAD)
    for _ in range(2):
        with capture_logs() as lines:
            assert refresh() == "failed"
        (said,) = [line for line in lines if line["event"] == "periodic_job_failed"]
        assert (said["periodic_job"], said["reason"]) == (NAME, "BAD_REFERENCE_FILE")
        assert (said["params"]["line"], said["params"]["column"]) == (3, "number")
        assert "5OOO2" not in str(said)
    assert in_force(database) == before
    assert failing() == 1
    put("establishments.csv", PLACES)
    assert refresh() == "done"
    found = in_force(database)
    assert (found.establishment_count, found.context_count) == (1, 1)
    assert failing() == 0


def test_a_file_that_may_still_be_written_is_left_for_the_next_time(database, put, refresh):
    before = in_force(database)
    put("contexts.csv", CONTEXTS)
    put("establishments.csv", PLACES, age=0)
    assert refresh() == "done"
    assert in_force(database) == before


def test_an_empty_folder_is_nothing_to_do(database, refresh):
    before = in_force(database)
    assert refresh() == "done"
    assert in_force(database) == before


def test_what_cannot_be_taken_is_refused(database, folder, put):
    job = ReferenceRefresh(database, folder)
    put("tariffs.csv", PLACES)
    with pytest.raises(InvalidInput) as caught:
        job.run()
    assert (caught.value.params["field"], caught.value.params["problem"]) == ("tariffs.csv", "unknown_name")
    (folder / "tariffs.csv").unlink()
    put("establishments.csv", PLACES)
    with pytest.raises(LimitExceeded):
        ReferenceRefresh(database, folder, max_file_bytes=10).run()
    with pytest.raises(TransientError):
        ReferenceRefresh(database, folder / "elsewhere").run()


def test_there_is_a_job_only_if_there_is_a_folder(resources, tmp_path):
    def names(**changes):
        return {
            job.name for job in main.periodic_jobs(replace(resources, settings=resources.settings.replace(**changes)))
        }

    assert NAME not in names()
    assert NAME in names(reference_refresh_dir=tmp_path)
