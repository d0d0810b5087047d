"""A change of keys while runs wait and others are kept, and the old key taken away after it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from facnet_grpc.model.run import RunStatus
from facnet_grpc.storage import factory
from facnet_grpc.storage.postgres import results
from workers.periodic.key_rotation import KeyRotation
from workers.validation.job import validate

OLD, NEW = "old:" + "o" * 32, "new:" + "n" * 32


@pytest.fixture
def with_keys(settings, resources):
    """Resources whose settings name certain keys."""
    opened = []

    def make(*keys):
        named = settings.replace(blob_key=",".join(keys))
        database = factory.database(named.storage, "facnet-test")
        database.open()
        opened.append(database)
        return replace(resources, settings=named, database=database, blobs=factory.blob_store(named.storage, database))

    yield make
    for database in opened:
        database.close()


def patients(resources, run_id):
    with resources.database.connection() as conn:
        return [one.patient_key for one in results.page(conn, run_id, limit=1000)]


def test_nothing_needs_the_old_key_once_workers_have_looked(bench, with_keys, sample):
    bench.resources = with_keys(OLD)
    done, waiting = bench.submit(sample), bench.submit(sample)
    assert bench.validate(done).status is RunStatus.COMPLETED
    seen = patients(bench.resources, done)
    assert any(seen)

    both = with_keys(NEW, OLD)
    assert patients(both, done) == seen
    KeyRotation(both.database, both.settings.storage.blob_keys).run()

    bench.resources = with_keys(NEW)
    assert patients(bench.resources, done) == seen
    assert bench.validate(waiting).status is RunStatus.COMPLETED
    assert patients(bench.resources, waiting) == seen


def test_a_worker_without_the_key_leaves_the_run_to_others(bench, with_keys, sample):
    bench.resources = with_keys(OLD)
    run_id = bench.submit(sample)
    validate(with_keys(NEW), run_id)
    assert bench.run(run_id).status is RunStatus.QUEUED
    bench.execute("UPDATE validation_runs SET next_attempt_at = NULL")
    assert bench.validate(run_id).status is RunStatus.COMPLETED
