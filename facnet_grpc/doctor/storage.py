"""Checks of what the service stores data in: PostgreSQL, Redis, the blob store, keys, disk, clock, workers."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import redis

from facnet_grpc.doctor.report import Finding
from facnet_grpc.errors import FacnetError
from facnet_grpc.events.stream import connect
from facnet_grpc.settings.environment import GIB, SettingsError
from facnet_grpc.settings.storage import StorageSettings
from facnet_grpc.storage.blobs.local import LocalBlobStore
from facnet_grpc.storage.postgres import queue
from facnet_grpc.storage.postgres.database import KeylessDatabase
from facnet_grpc.storage.postgres.migrate import pending

MIN_POSTGRES = 150000  # as PostgreSQL counts: 15.0
MIN_REDIS = (7, 0)
CONNECT_SECONDS = 3.0
MIN_FREE_BYTES = GIB
MAX_SKEW_SECONDS = 5.0  # leases use PostgreSQL's clock; this is for times that people compare


def utc_now() -> datetime:
    """Return the time of this machine."""
    return datetime.now(UTC)


def examine_operations(settings: StorageSettings) -> Iterator[Finding]:
    """Check keys, disk, clock and workers; what needs PostgreSQL is left out while it does not answer."""
    yield check_disk(settings)
    url = settings.database_url.get_secret_value()
    with KeylessDatabase(url, max_connections=1, application_name="facnet-doctor") as database:
        try:
            yield check_keys(settings, database)
            yield check_clock(database)
            yield check_workers(database)
        except FacnetError:
            return


def check_postgres(settings: StorageSettings, *, timeout: float = CONNECT_SECONDS) -> Finding:
    """Check that PostgreSQL answers, is new enough, and has the present schema."""
    url = settings.database_url.get_secret_value()
    try:
        with KeylessDatabase(url, max_connections=1, application_name="facnet-doctor") as database:
            version = database.ping(timeout=timeout)
        missing = pending(url)
    except FacnetError:
        return Finding("postgres", ok=False, code="postgres_away")
    text = f"{version // 10000}.{version % 10000}"
    if version < MIN_POSTGRES:
        return Finding("postgres", ok=False, code="postgres_old", value=text)
    if missing:
        return Finding("postgres", ok=False, code="postgres_pending", value=", ".join(missing))
    return Finding("postgres", ok=True, code="postgres_ok", value=text)


def check_redis(settings: StorageSettings) -> Finding:
    """Check that Redis answers, stores and returns a key, is new enough, and evicts nothing."""
    try:
        with connect(settings.redis_url.get_secret_value()) as client:
            client.ping()
            return _examine_redis(client)
    except (redis.ConnectionError, redis.TimeoutError):
        return Finding("redis", ok=False, code="redis_away")
    except redis.RedisError:
        return Finding("redis", ok=False, code="redis_refuses")


def _examine_redis(client: redis.Redis) -> Finding:
    key, value = f"facnet:doctor:{secrets.token_hex(8)}", b"check"
    client.set(key, value, ex=10)
    if client.getdel(key) != value:
        return Finding("redis", ok=False, code="redis_refuses")
    info: dict[str, object] = client.info()
    version = str(info.get("redis_version", ""))
    if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < MIN_REDIS:
        return Finding("redis", ok=False, code="redis_old", value=version)
    policy = str(info.get("maxmemory_policy", ""))
    if policy != "noeviction":
        return Finding("redis", ok=False, code="redis_evicts", value=policy)
    return Finding("redis", ok=True, code="redis_ok", value=version)


def check_blobs(settings: StorageSettings) -> Finding:
    """Check that a file can be stored, read and deleted."""
    try:
        LocalBlobStore(settings.blob_dir).check()
    except FacnetError:
        return Finding("blobs", ok=False, code="blobs_fail", value=str(settings.blob_dir))
    return Finding("blobs", ok=True, code="blobs_ok", value=str(settings.blob_dir))


def check_disk(settings: StorageSettings, *, min_free_bytes: int = MIN_FREE_BYTES) -> Finding:
    """Check that there is room for files."""
    try:
        free = shutil.disk_usage(settings.blob_dir).free
    except OSError:
        return Finding("disk", ok=False, code="disk_away")
    ok = free >= min_free_bytes
    return Finding("disk", ok, "disk_ok" if ok else "disk_full", f"{free / GIB:.1f}")


def check_keys(settings: StorageSettings, database: KeylessDatabase) -> Finding:
    """Check that every key that files are encrypted with is known here. Raises `FacnetError`."""
    try:
        known = {key.id for key in settings.blob_keys.all}
    except SettingsError:
        return Finding("keys", ok=False, code="keys_missing")
    with database.connection() as conn:
        used = queue.key_ids(conn)
    if missing := sorted(used - known):
        return Finding("keys", ok=False, code="keys_unknown", value=", ".join(missing))
    return Finding("keys", ok=True, code="keys_ok", value=len(used))


def check_clock(database: KeylessDatabase, *, now: Callable[[], datetime] = utc_now) -> Finding:
    """Check that this machine and PostgreSQL agree on the time. Raises `FacnetError`."""
    with database.connection() as conn:
        before = now()
        theirs = queue.database_time(conn)
        after = now()
    skew = max((before - theirs).total_seconds(), (theirs - after).total_seconds(), 0.0)
    ok = skew <= MAX_SKEW_SECONDS
    return Finding("clock", ok, "clock_ok" if ok else "clock_skewed", f"{skew:.1f}")


def check_workers(database: KeylessDatabase) -> Finding:
    """Check that a worker is connected to the database. Raises `FacnetError`."""
    with database.connection() as conn:
        count = queue.count_worker_connections(conn)
    return Finding("worker", count > 0, "worker_ok" if count else "worker_away", count)
