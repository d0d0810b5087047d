"""The doctor on keys, disk, clock and workers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest

from facnet_grpc.doctor.storage import check_clock, check_disk, examine_operations
from facnet_grpc.settings import Settings


@pytest.fixture
def settings(clean_postgres_url, tmp_path):
    def make(**changes):
        usual = {"pseudonym_key": "x" * 32, "blob_key": f"now:{'b' * 32}", "redis_url": "x", "blob_dir": tmp_path}
        return Settings.of(database_url=clean_postgres_url, **usual | changes)

    return make


def codes(settings):
    return {finding.name: finding.code for finding in examine_operations(settings.storage)}


def test_nothing_is_wrong_but_that_nobody_works(settings):
    assert codes(settings()) == {
        "disk": "disk_ok",
        "keys": "keys_ok",
        "clock": "clock_ok",
        "worker": "worker_away",
    }


def test_a_worker_is_seen(settings, clean_postgres_url):
    with psycopg.connect(clean_postgres_url, application_name="facnet-worker"):
        assert codes(settings())["worker"] == "worker_ok"


def test_a_key_that_is_gone_is_named(settings, database):
    with database.connection() as conn:
        conn.execute("INSERT INTO data_keys VALUES (%s, NULL, 'old', '')", (uuid4(),))
    (finding,) = [one for one in examine_operations(settings().storage) if one.name == "keys"]
    assert (finding.code, finding.value) == ("keys_unknown", "old")
    assert codes(settings(blob_key=f"now:{'b' * 32},old:{'o' * 32}"))["keys"] == "keys_ok"


def test_no_key_at_all_is_said(settings):
    assert codes(settings(blob_key=None))["keys"] == "keys_missing"


def test_a_full_disk_and_a_wrong_clock_are_said(settings, database):
    assert check_disk(settings().storage, min_free_bytes=1 << 60).code == "disk_full"
    assert check_clock(database, now=lambda: datetime.now(UTC) - timedelta(minutes=1)).code == "clock_skewed"


def test_without_postgres_the_rest_is_still_examined(settings, tmp_path):
    away = settings().replace(database_url="postgresql://127.0.0.1:1/x")
    assert set(codes(away)) == {"disk"}
