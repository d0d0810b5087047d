"""What is left in PostgreSQL of runs that were deleted: a line of the audit log, or everything, and nothing between.

A run is deleted at once and its rows are swept after that; if the server is killed in between, the workers sweep them.
"""

from __future__ import annotations

from chaos_stack import ChaosStack, eventually
from chaos_truth import connected, snapshot

# Every table that says of which run its rows are, but for the logs of what was done and seen, which outlive runs.
OF_RUNS = (
    "billing_records",
    "rejected_rows",
    "validation_results",
    "validation_logs",
    "uploads",
    "data_keys",
    "row_keys",
    "notifications",
    "revalidations",
    "erasures",
)
OUTLIVING = ("audit_log", "phi_access_log")


def is_there(stack: ChaosStack, run_id: str) -> bool:
    """Whether there is a run of this id."""
    with connected(stack) as conn:
        return conn.execute("SELECT FROM validation_runs WHERE id = %s", (run_id,)).fetchone() is not None


def halves(stack: ChaosStack, run_id: str) -> list[str]:
    """Return what is wrong with a run that may have been deleted: what is left of it, or was noted of it."""
    _wait_for_sweep(stack)
    with snapshot(stack) as conn:
        there = conn.execute("SELECT FROM validation_runs WHERE id = %s", (run_id,)).fetchone() is not None
        noted = conn.execute(
            "SELECT count(*) FROM audit_log WHERE run_id = %s AND action = 'validation_deleted'", (run_id,)
        ).fetchall()[0][0]
        left = [
            table
            for table in OF_RUNS
            if conn.execute(f"SELECT FROM {table} WHERE run_id = %s LIMIT 1", (run_id,)).fetchone()
        ]
    wrong = [] if there else [f"rows in {table}" for table in left]
    return wrong if noted == (not there) else [*wrong, f"{noted} lines in the audit log"]


def of_nobody(stack: ChaosStack) -> list[str]:
    """Return the tables with rows of runs that do not exist. Uploads that are not finished are of no run yet."""
    _wait_for_sweep(stack)
    with connected(stack) as conn:
        return [
            table
            for table in OF_RUNS
            if conn.execute(
                f"SELECT FROM {table} AS t WHERE run_id IS NOT NULL AND NOT EXISTS"
                " (SELECT FROM validation_runs WHERE id = t.run_id) LIMIT 1"
            ).fetchone()
        ]


def _wait_for_sweep(stack: ChaosStack) -> None:
    with connected(stack) as conn:
        eventually(
            "rows of deleted runs are swept", lambda: not conn.execute("SELECT FROM erasures LIMIT 1").fetchone()
        )
