"""Revalidations of completed runs. PostgreSQL compares their results with those of the run, without a Python loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pyarrow as pa
from psycopg import Connection

from facnet_grpc.model.result import Result
from facnet_grpc.model.revalidation import Change, ChangeKind, Revalidation
from facnet_grpc.storage.postgres import column_encryption, results
from facnet_grpc.storage.postgres.database import PatientConnection
from facnet_grpc.storage.postgres.fetch import fetch_all, fetch_object, fetch_one, fetch_value, fetch_values
from facnet_grpc.storage.postgres.sql_loader import load

SQL = load("revalidations")


def insert(conn: Connection, revalidation_id: UUID, run_id: UUID) -> None:
    """Store the request to revalidate a run."""
    conn.execute(SQL["insert_revalidation"], {"id": revalidation_id, "run_id": run_id})


def get(conn: Connection, revalidation_id: UUID) -> Revalidation | None:
    """Return a revalidation, None if it was deleted."""
    return fetch_object(conn, Revalidation, SQL["select_revalidation"], {"id": revalidation_id})


def start_attempt(conn: Connection, revalidation_id: UUID, *, max_attempts: int) -> UUID | None:
    """Count an attempt and return the run; None if there is nothing to do. Commit before working on it.

    A revalidation that has crashed its workers `max_attempts` times fails here, with WORKER_CRASHED.
    """
    row = fetch_one(conn, SQL["start_attempt"], {"id": revalidation_id, "max_attempts": max_attempts})
    return row["run_id"] if row and not row["given_up"] else None


def missing_columns(conn: Connection, run_id: UUID) -> tuple[str, ...]:
    """Return the columns that the run's file did not have, as the worker logged when it read the file."""
    data: dict[str, Any] = fetch_value(conn, SQL["select_file_understood"], {"run_id": run_id}) or {}
    return tuple(data.get("missing_wanted", ()))


def write(conn: PatientConnection, revalidation_id: UUID, table: pa.Table) -> None:
    """Store the results of a revalidation: a table of RESULT_SCHEMA."""
    results.write(conn, revalidation_id, table, into="revalidated_results")


def finish(
    conn: Connection,
    revalidation_id: UUID,
    run_id: UUID,
    *,
    results: int,
    rule_set_version: str,
    reference_version: str,
) -> bool:
    """Compare the results and store the counts of changes; `results` is how many the revalidation has.

    Returns False if the revalidation was deleted; roll back then.
    """
    conn.execute(SQL["insert_changes"], {"id": revalidation_id, "run_id": run_id})
    params = {
        "id": revalidation_id,
        "results": results,
        "rule_set_version": rule_set_version,
        "reference_version": reference_version,
    }
    return conn.execute(SQL["finish_revalidation"], params).fetchone() is not None


def fail(conn: Connection, revalidation_id: UUID, error_code: str) -> None:
    """End a revalidation with an error."""
    conn.execute(SQL["fail_revalidation"], {"id": revalidation_id, "error_code": error_code})


def page(conn: PatientConnection, revalidation: Revalidation, *, after: int, limit: int) -> list[Change]:
    """Return at most `limit` changes after the change `after`, in their order."""
    rows = fetch_all(conn, SQL["select_changes"], {"id": revalidation.id, "after": after, "limit": limit})
    before = _results(
        conn,
        SQL["select_results_before"],
        "validation_results",
        revalidation.run_id,
        [row["before_number"] for row in rows],
    )
    afterwards = _results(
        conn,
        SQL["select_results_after"],
        "revalidated_results",
        revalidation.id,
        [row["after_number"] for row in rows],
    )
    return [
        Change(
            number=row["change_number"],
            kind=ChangeKind(row["kind"]),
            before=before.get(row["before_number"]),
            after=afterwards.get(row["after_number"]),
        )
        for row in rows
    ]


def queued(conn: Connection, *, older_than_seconds: float, limit: int) -> list[UUID]:
    """Return at most `limit` revalidations that have waited for a worker for so long, oldest first."""
    return fetch_values(conn, SQL["select_queued"], {"older_than_seconds": older_than_seconds, "limit": limit})


def delete(conn: Connection, ids: Sequence[UUID]) -> None:
    """Delete revalidations with their changes, results and row keys."""
    for query in (SQL["delete_revalidations"], SQL["delete_changes"], SQL["delete_results"]):
        conn.execute(query, {"ids": list(ids)})
    column_encryption.delete_keys(conn, ids)


def discard(conn: Connection, revalidation_id: UUID) -> None:
    """Delete a revalidation that nobody waits for, unless it has failed: operators may want to see that."""
    if fetch_value(conn, SQL["select_failed"], {"id": revalidation_id}) is None:
        delete(conn, [revalidation_id])


def expired(conn: Connection, *, ttl_seconds: float, failed_ttl_seconds: float, limit: int) -> list[UUID]:
    """Return at most `limit` revalidations whose time to live is over; failed ones have their own."""
    params = {"ttl_seconds": ttl_seconds, "failed_ttl_seconds": failed_ttl_seconds, "limit": limit}
    return fetch_values(conn, SQL["select_expired"], params)


def _results(
    conn: PatientConnection, query: str, table: str, key_id: UUID, numbers: Sequence[int | None]
) -> dict[int | None, Result]:
    params = {"id": key_id, "numbers": [number for number in numbers if number is not None]}
    return {result.result_number: result for result in results.read(conn, query, params, key_id, table)}
