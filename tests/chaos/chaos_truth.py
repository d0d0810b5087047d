"""What a run has to look like afterwards, counted in PostgreSQL, and what may be left behind: nothing."""

from __future__ import annotations

import hashlib
import itertools
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from chaos_stack import PATIENCE, SOON, Broken, ChaosStack, eventually

from facnet_client.values import Status, Update
from facnet_grpc.model.run import TERMINAL
from facnet_grpc.settings.keys import Keys
from facnet_grpc.storage.blobs.key_wrapping import KeyWrapper
from facnet_grpc.storage.postgres import records, results
from facnet_grpc.storage.postgres.database import PatientConnection

# One line each, without what differs between two runs on the same file.
_CONTENT = {
    "billing_records": "record_number",
    "rejected_rows": "record_number",
    "validation_results": "result_number",
}
_ENCRYPTED = ["patient_key", "patient_name", "raw"]  # differ from run to run: each has a key of its own
KEYS = KeyWrapper.for_rows(Keys.parse(SOON["FACNET_BLOB_KEY"]))
_ENDED = sorted(status.value for status in TERMINAL)
LONG_AGO = 48 * 3600
MOST = 100_000  # more results and rejected lines than any file here has


@dataclass(frozen=True)
class Outcome:
    """What became of a file: equal for equal files, whatever happened on the way."""

    status: str
    error_code: str | None
    counted: tuple[int, ...]  # total, processed, rejected rows; results by severity
    summary: str | None
    content: tuple[tuple[int, str], ...]  # rows and checksum of each table, but for what is encrypted
    persons: str  # checksum of what is


@contextmanager
def connected(stack: ChaosStack) -> Iterator[PatientConnection]:
    """Connect to PostgreSQL as nobody of the service does."""
    with PatientConnection.connect(stack.postgres.url, autocommit=True, application_name="chaos") as conn:
        conn.key_wrapper = KEYS
        yield conn


@contextmanager
def snapshot(stack: ChaosStack) -> Iterator[PatientConnection]:
    """Connect likewise, and see everything as it is at one moment."""
    with connected(stack) as conn, conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield conn


def outcome(stack: ChaosStack, run_id: str) -> Outcome:
    """Return what PostgreSQL says of a run."""
    with snapshot(stack) as conn:
        row = conn.execute(
            "SELECT status, error_code, total_rows, processed_rows, rejected_rows, error_count, warning_count,"
            " optimization_count, info_count, md5(summary::text) FROM validation_runs WHERE id = %s",
            (run_id,),
        ).fetchone()
        assert row is not None, "the run is lost"
        content = tuple(_content(conn, table, order, run_id) for table, order in _CONTENT.items())
        persons = _persons(conn, UUID(run_id))
    return Outcome(row[0], row[1], tuple(row[2:9]), row[9], content, persons)


def attempts(stack: ChaosStack, run_id: str) -> int:
    """Return how many attempts counted."""
    with connected(stack) as conn:
        return int(_one(conn, "SELECT attempt - uncounted_attempts FROM validation_runs WHERE id = %s", run_id))


def runs_with_key(stack: ChaosStack, key: str) -> list[UUID]:
    """Return the runs that one submission has made."""
    with connected(stack) as conn:
        found = conn.execute("SELECT id FROM validation_runs WHERE idempotency_key = %s", (key,)).fetchall()
    return [row[0] for row in found]


def heard_well(updates: Sequence[Update]) -> list[str]:
    """Return what is wrong with what a watcher heard: nothing after the end, and never a step back in an attempt."""
    wrong = []
    ends = [update for update in updates if update.status.is_terminal]
    if len(ends) != 1 or not updates[-1].status.is_terminal:
        wrong.append(f"{len(ends)} terminal messages")
    for before, after in itertools.pairwise(updates):
        if after.status.is_terminal or Status.QUEUED in {before.status, after.status}:
            continue
        if (after.attempt, after.percent) < (before.attempt, before.percent):
            wrong.append(f"a step back from {before.attempt}/{before.percent} to {after.attempt}/{after.percent}")
    return wrong


def unended(stack: ChaosStack) -> list[str]:
    """Return the runs that have not ended."""
    with connected(stack) as conn:
        rows = conn.execute("SELECT id FROM validation_runs WHERE NOT status = ANY(%s)", (_ENDED,)).fetchall()
    return [str(row[0]) for row in rows]


def age(stack: ChaosStack) -> None:
    """Make everything that waits for its time to be deleted old enough, without waiting for it."""
    with connected(stack) as conn:
        conn.execute(
            "UPDATE validation_runs SET finished_at = finished_at - make_interval(secs => %s)"
            " WHERE status = ANY(%s) AND blob_key IS NOT NULL AND finished_at > now() - make_interval(secs => %s)",
            (LONG_AGO, _ENDED, LONG_AGO),
        )
        conn.execute("UPDATE uploads SET expires_at = now() - interval '1 second' WHERE expires_at > now()")
    then = time.time() - LONG_AGO
    for kind in ("parts", "blobs"):
        for entry in os.scandir(stack.blob_dir / kind):
            try:
                os.utime(entry.path, (then, then))
            except FileNotFoundError:
                continue


def left_behind(stack: ChaosStack) -> list[str]:
    """Return what is there although no run needs it. Only when everything has ended and `age` was called."""
    found = [f"{kind}/{name}" for kind in ("parts", "blobs") for name in _names(stack, kind)]
    found += [key.decode() for key in stack.redis.scan_iter() if _is_stuck(stack, key)]
    with connected(stack) as conn:
        named = _one(conn, "SELECT count(*) FROM validation_runs WHERE blob_key IS NOT NULL")
        uploads = _one(conn, "SELECT count(*) FROM uploads")
        sleeping = _one(
            conn,
            "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%%'"
            " AND state_change < now() - make_interval(secs => %s)",
            5,
        )
        file_keys = _one(conn, "SELECT count(*) FROM data_keys")
        keys = _one(
            conn,
            "SELECT count(*) FROM row_keys WHERE NOT EXISTS (SELECT FROM validation_runs"
            " WHERE id = run_id AND status = 'COMPLETED')",
        )
    counted = {
        "runs that name a blob": named,
        "uploads": uploads,
        "keys of no files": file_keys,
        "keys of no rows": keys,
        "sessions asleep in a transaction": sleeping,
    }
    return found + [f"{count} {what}" for what, count in counted.items() if count]


def cleans_up(stack: ChaosStack, seconds: float = PATIENCE) -> None:
    """Check that the workers delete everything that nobody needs any more."""
    age(stack)
    try:
        eventually("nothing is left behind", lambda: not left_behind(stack), seconds)
    except Broken as error:
        raise AssertionError(f"{error}: {left_behind(stack)}") from None


def _names(stack: ChaosStack, kind: str) -> list[str]:
    return [entry.name for entry in os.scandir(stack.blob_dir / kind)]


def _is_stuck(stack: ChaosStack, key: bytes) -> bool:
    """Whether a key stays although nobody needs it: one without a date, or a message that nobody takes.

    What dramatiq keeps about messages that a killed worker had taken goes away by itself a minute later.
    """
    if key.startswith((b"facnet:jobs:__acks__.", b"facnet:jobs:validation.msgs")):
        return False
    return int(stack.redis.ttl(key)) == -1  # -2: gone meanwhile


def _persons(conn: PatientConnection, run_id: UUID) -> str:
    """Return a checksum of the patients in a run's lines and results, and of its rejected lines, as read."""
    read = [batch.select(["patient_key", "patient_name"]).to_pydict() for batch in records.read_for_rules(conn, run_id)]
    raw = [row.raw for row in records.rejected_page(conn, run_id, limit=MOST)]
    found = [result.patient_key for result in results.page(conn, run_id, limit=MOST)]
    return hashlib.md5(repr((read, raw, found)).encode(), usedforsecurity=False).hexdigest()


def _content(conn: PatientConnection, table: str, order: str, run_id: str) -> tuple[int, str]:
    query = (
        f"SELECT count(*), md5(coalesce(string_agg(md5((to_jsonb(t) - %s::text[])::text), '' ORDER BY {order}), ''))"
        f" FROM {table} AS t WHERE run_id = %s"
    )
    row = conn.execute(query, (["run_id", *_ENCRYPTED], run_id)).fetchone()
    assert row is not None
    return int(row[0]), str(row[1])


def _one(conn: PatientConnection, query: str, *params: Any) -> Any:
    row = conn.execute(query, params).fetchone()
    assert row is not None
    return row[0]
