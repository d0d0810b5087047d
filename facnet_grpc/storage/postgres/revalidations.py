"""Second judgements of runs. Their results are compared where they are: in PostgreSQL, without a Python loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pyarrow as pa
from psycopg import Connection
from psycopg.rows import class_row, dict_row, scalar_row

from facnet_grpc.model.result import Result
from facnet_grpc.model.revalidation import Change, ChangeKind, Revalidation
from facnet_grpc.storage.postgres import column_encryption, results
from facnet_grpc.storage.postgres.database import PatientConnection
from facnet_grpc.storage.postgres.sql_loader import load

SQL = load("revalidations")
_TABLES = {"before": "validation_results", "after": "revalidated_results"}


def ask(conn: Connection, revalidation_id: UUID, run_id: UUID) -> None:
    """Note that somebody wants to know about a run."""
    conn.execute(SQL["ask"], {"id": revalidation_id, "run_id": run_id})


def get(conn: Connection, revalidation_id: UUID) -> Revalidation | None:
    """Return how far it is; None if it is forgotten."""
    with conn.cursor(row_factory=class_row(Revalidation)) as cursor:
        return cursor.execute(SQL["get"], {"id": revalidation_id}).fetchone()


def begin(conn: Connection, revalidation_id: UUID, *, max_attempts: int) -> UUID | None:
    """Count an attempt and return the run; None if there is nothing to do. Commit before working on it.

    What has crashed its workers `max_attempts` times ends here, with WORKER_CRASHED.
    """
    with conn.cursor(row_factory=dict_row) as cursor:
        params = {"id": revalidation_id, "max_attempts": max_attempts}
        row = cursor.execute(SQL["begin"], params).fetchone()
    return row["run_id"] if row and not row["given_up"] else None


def missing_columns(conn: Connection, run_id: UUID) -> tuple[str, ...]:
    """Return the columns that the run's file did not have, as the worker noted when it read it."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        data: dict[str, Any] = cursor.execute(SQL["found"], {"run_id": run_id}).fetchone() or {}
    return tuple(data.get("missing_wanted", ()))


def write(conn: PatientConnection, revalidation_id: UUID, table: pa.Table) -> None:
    """Store results of the second judgement: a table of RESULT_SCHEMA."""
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
    """Compare the judgements and store what it comes to, `results` being how many the second one has.

    Returns False if nobody wants to know any more; roll back then.
    """
    conn.execute(SQL["compare"], {"id": revalidation_id, "run_id": run_id})
    params = {
        "id": revalidation_id,
        "results": results,
        "rule_set_version": rule_set_version,
        "reference_version": reference_version,
    }
    return conn.execute(SQL["finish"], params).fetchone() is not None


def fail(conn: Connection, revalidation_id: UUID, error_code: str) -> None:
    """Note that it ended badly."""
    conn.execute(SQL["fail"], {"id": revalidation_id, "error_code": error_code})


def page(conn: PatientConnection, one: Revalidation, *, after: int, limit: int) -> list[Change]:
    """Return at most `limit` changes after the change `after`, in their order."""
    with conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(SQL["page"], {"id": one.id, "after": after, "limit": limit}).fetchall()
    before = _results(conn, "before", one.run_id, [row["before_number"] for row in rows])
    afterwards = _results(conn, "after", one.id, [row["after_number"] for row in rows])
    return [
        Change(
            number=row["change_number"],
            kind=ChangeKind(row["kind"]),
            before=before.get(row["before_number"]),
            after=afterwards.get(row["after_number"]),
        )
        for row in rows
    ]


def waiting(conn: Connection, *, older_than_seconds: float, limit: int) -> list[UUID]:
    """Return what waits for a worker, longest first."""
    params = {"older_than_seconds": older_than_seconds, "limit": limit}
    with conn.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(SQL["waiting"], params).fetchall()


def forget(conn: Connection, ids: Sequence[UUID]) -> None:
    """Remove everything about them."""
    for name in ("forget", "forget_changes", "forget_results"):
        conn.execute(SQL[name], {"ids": list(ids)})
    column_encryption.delete_keys(conn, ids)


def leave(conn: Connection, revalidation_id: UUID) -> None:
    """Say that nobody waits for it any more: it goes, unless it has failed, which operators may want to see."""
    if conn.execute(SQL["has_failed"], {"id": revalidation_id}).fetchone() is None:
        forget(conn, [revalidation_id])


def expired(conn: Connection, *, ttl_seconds: float, failed_ttl_seconds: float, limit: int) -> list[UUID]:
    """Return what nobody has come back for, and what has failed long enough ago."""
    params = {"ttl_seconds": ttl_seconds, "failed_ttl_seconds": failed_ttl_seconds, "limit": limit}
    with conn.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(SQL["expired"], params).fetchall()


def _results(conn: PatientConnection, name: str, of: UUID, numbers: Sequence[int | None]) -> dict[int | None, Result]:
    params = {"id": of, "numbers": [number for number in numbers if number is not None]}
    found = results.read(conn, SQL[f"results_{name}"], params, of, _TABLES[name])
    return {one.result_number: one for one in found}
