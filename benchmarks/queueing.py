"""Many small files of several owners: how long they take, whose turn it is, and how soon an idle worker begins one.

The workers stand still until all files are handed in, so that there is a queue, and the order of its runs says who was
preferred. Times are PostgreSQL's own.
"""

from __future__ import annotations

import os
import signal
import statistics
import time
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from benchmarks import processes
from benchmarks.figures import Figure
from benchmarks.stack import Stack
from facnet_client import FacnetClient, Priority
from facnet_grpc.sample.writer import write_sample

TENANTS = tuple(f"clinic{number}" for number in range(10))
LATE = "latecomer"
LINES = 100
FIRST = 10  # files of each owner whose wait is compared
SENDERS = 8
POLL_SECONDS = 0.2
FAIR_SHARE = 0.2  # of the makespan: in the order of arrival, those who come last wait for nearly all of it

_RUNS = "SELECT id::text, owner, priority, status, created_at, started_at, finished_at FROM validation_runs"
_UNFINISHED = "SELECT count(*) FROM validation_runs WHERE finished_at IS NULL"
_STARTED = "SELECT count(*) FROM validation_runs WHERE started_at IS NOT NULL"


@dataclass(frozen=True)
class Times:
    """When a run came, was begun and ended."""

    run_id: str
    owner: str
    created: datetime
    started: datetime
    finished: datetime

    def wait(self, since: datetime) -> float:
        """How long it waited, in seconds, not counting what was before `since`."""
        return (self.started - max(self.created, since)).total_seconds()


def tokens() -> str:
    """Return the setting that gives every owner a token: its name."""
    return ",".join(f"{owner}={owner}/editor" for owner in (*TENANTS, LATE))


@contextmanager
def standing_still(stack: Stack) -> Iterator[None]:
    """Keep the workers from doing anything."""
    pids = processes.descendants(stack.worker.pid)
    _signal(pids, signal.SIGSTOP)
    try:
        yield
    finally:
        _signal(pids, signal.SIGCONT)


def figures(stack: Stack, folder: Path, files: int, singles: int) -> list[Figure]:
    """Measure a queue of `files` files, nine tenths and more of the first owner's, and `singles` files one by one."""
    file = folder / "small.csv"
    write_sample(LINES, file)
    with ExitStack() as opened:
        clients = {owner: opened.enter_context(FacnetClient(stack.target, token=owner)) for owner in (*TENANTS, LATE)}
        conn = opened.enter_context(psycopg.connect(stack.database_url, autocommit=True))
        alone = _one_by_one(conn, clients[TENANTS[0]], file, singles)
        return [*alone, *_queue(stack, conn, clients, file, files)]


def _one_by_one(conn: psycopg.Connection, client: FacnetClient, file: Path, count: int) -> list[Figure]:
    for _ in range(1 + count):
        for _ in client.watch(client.submit(file).validation_id):
            pass
    _, *runs = sorted(_times(conn), key=lambda run: run.created)  # for the first one a worker may have had to start
    waits = sorted(run.wait(run.created) * 1000 for run in runs)
    conn.execute("DELETE FROM validation_runs")
    name = "idle workers, enqueued to begun"
    return [
        Figure(f"{name}: median of {count}", statistics.median(waits), "ms"),
        Figure(f"{name}: 99 of 100", at_percent(waits, 99), "ms"),
    ]


def _queue(
    stack: Stack, conn: psycopg.Connection, clients: dict[str, FacnetClient], file: Path, files: int
) -> list[Figure]:
    first = min(FIRST, files // (2 * len(TENANTS)))
    others = [owner for _ in range(first) for owner in TENANTS[1:]]
    with standing_still(stack), ThreadPoolExecutor(SENDERS) as pool:
        began = time.perf_counter()
        for owners in ([TENANTS[0]] * (files - len(others)), others):
            list(pool.map(lambda owner: clients[owner].submit(file), owners))
        sending = time.perf_counter() - began
        since = _now(conn)
    scrapes: list[float] = []
    _until(conn, stack, scrapes, _STARTED, at_least=files // 5)
    high = clients[TENANTS[0]].submit(file, priority=Priority.HIGH).validation_id
    late = clients[LATE].submit(file).validation_id
    _until(conn, stack, scrapes, _UNFINISHED, at_most=0)
    runs = {run.run_id: run for run in _times(conn)}
    makespan = (max(run.finished for run in runs.values()) - since).total_seconds()
    waits = {owner: _first_waits(list(runs.values()), owner, since, first) for owner in TENANTS}
    few = statistics.mean(statistics.mean(waits[owner]) for owner in TENANTS[1:])
    means = [statistics.mean(found) for found in waits.values()]
    places = len(stack.workers()) - 1  # the first is their parent
    return [
        Figure(f"{files:,} files handed in, {SENDERS} at once", files / sending, "/s"),
        Figure(f"{files:,} files of {LINES} lines, {len(TENANTS)} owners: makespan", makespan, "s"),
        Figure("the same, files each second", files / makespan, "/s"),
        Figure(
            f"wait for the first {first} files: longest owner's ÷ median",
            max(means) / statistics.median(means),
            at_most=2,
        ),
        Figure(
            f"wait of owners with {first} files behind one with the rest ÷ makespan", few / makespan, at_most=FAIR_SHARE
        ),
        Figure("begun before a HIGH one that came", _overtaken(runs, high), at_most=places),
        Figure("begun before that of a new owner who came", _overtaken(runs, late), at_most=places + 1),
        Figure("metrics page of the server meanwhile: median", statistics.median(scrapes) * 1000, "ms"),
        Figure("metrics page of the server meanwhile: longest", max(scrapes) * 1000, "ms"),
    ]


def at_percent(ordered: Sequence[float], percent: int) -> float:
    """Return the value that so many percent do not exceed."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def _first_waits(runs: list[Times], owner: str, since: datetime, count: int) -> list[float]:
    return sorted(run.wait(since) for run in runs if run.owner == owner)[:count]


def _overtaken(runs: dict[str, Times], run_id: str) -> int:
    """How many runs were begun between the arrival of this one and its beginning."""
    own = runs[run_id]
    return sum(own.created < run.started < own.started for run in runs.values())


def _until(
    conn: psycopg.Connection,
    stack: Stack,
    scrapes: list[float],
    query: Any,
    *,
    at_least: int = 0,
    at_most: float = float("inf"),
) -> None:
    while not at_least <= _count(conn, query) <= at_most:
        scrapes.append(_scrape(stack))
        time.sleep(POLL_SECONDS)


def _scrape(stack: Stack) -> float:
    began = time.perf_counter()
    with urllib.request.urlopen(f"http://{stack.variables['FACNET_METRICS_LISTEN']}/metrics") as page:
        page.read()
    return time.perf_counter() - began


def _times(conn: psycopg.Connection) -> list[Times]:
    with conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_RUNS).fetchall()
    bad = [row["id"] for row in rows if row["status"] != "COMPLETED"]
    assert not bad, f"not completed: {bad}"
    return [Times(row["id"], row["owner"], row["created_at"], row["started_at"], row["finished_at"]) for row in rows]


def _count(conn: psycopg.Connection, query: Any) -> int:
    (found,) = conn.execute(query).fetchone() or (0,)
    return int(found)


def _now(conn: psycopg.Connection) -> datetime:
    (found,) = conn.execute("SELECT clock_timestamp()").fetchone() or ()
    assert isinstance(found, datetime)
    return found


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
