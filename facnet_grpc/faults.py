"""Named places where the chaos tests break things: a process dies, stops, dawdles, or sees a part of the system fail.

Nothing of this exists for a process that was started without `FACNET_FAULTS`; it is read once, at import, and no
request, file or setting leads here. Its value is a plan such as `worker.copy.mid=kill@2;server.upload.synced=sleep:1`,
or `@` and the path of a file with one, which is then read at every point: a test can change it under running processes.

A fault is `POINT=ACTION@N`: the action is done at the Nth time that the point is reached (1 if left out), or with `@N+`
from then on. Times are counted over all processes and their restarts, in the file that `FACNET_FAULTS_STATE` names: one
line `POINT PID` for each time. Points that the plan does not name are not counted.

    kill             SIGKILL this process
    exit             end it at once, without cleaning up
    stop             SIGSTOP this process: whoever wants to goes on with it by SIGCONT
    sleep:SECONDS    let this thread wait
    hold             let this thread wait until the plan no longer has this fault
    raise:transient  raise `TransientError`, as if a part did not answer
    note             only count
"""

from __future__ import annotations

import fcntl
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from facnet_grpc.errors import TransientError

POINTS: Mapping[str, str] = MappingProxyType(
    {
        "server.upload.opened": "the upload has a row and a part",
        "server.upload.chunk_written": "a chunk is written to the part, not synced",
        "server.upload.synced": "the whole part is synced to disk",
        "server.run.inserted": "the run is inserted, not committed",
        "server.upload.finished": "the upload refers to its run, not committed",
        "server.blob.committed": "the part is renamed to a blob, the run is not committed",
        "server.run.committed": "the run is committed, no job is sent",
        "server.job.enqueuing": "the job is about to be sent",
        "server.job.enqueued": "the job is sent",
        "server.submit.answering": "the response is about to be sent",
        "server.watch.sending": "a message is about to be sent to a watcher",
        "server.retry.committed": "a retry is committed, no job is sent",
        "server.delete.erased": "a run is deleted, not committed",
        "server.delete.committed": "a deletion is committed, the file still exists",
        "server.export.sending": "a part of an export is about to be sent",
        "worker.claim.before": "a job is received, no run is claimed",
        "worker.claim.taken": "a claim is made, not committed",
        "worker.claim.after": "a claim is committed, the attempt is counted",
        "worker.parse.first": "the file format is detected, the first batch is not passed on",
        "worker.parse.mid": "a later batch is parsed",
        "worker.copy.mid": "a batch is sent to PostgreSQL, the COPY continues",
        "worker.copy.done": "all lines are copied",
        "worker.rules.between": "one rule is evaluated, the next is not started",
        "worker.results.mid": "some results are copied",
        "worker.commit.before": "everything is written, nothing is committed",
        "worker.commit.after": "COMPLETED is committed, no event is published",
        "worker.end.published": "the final event is published, the blob still exists",
        "worker.blob.deleted": "the blob is deleted, the run still refers to it",
        "worker.blob.cleared": "the run no longer refers to a blob",
        "worker.progress.published": "a progress event is published",
        "worker.heartbeat": "the lease is about to be extended",
        "worker.failure.settling": "an attempt has failed, nothing is committed",
        "worker.failure.settled": "a failed attempt is committed, no event is published",
        "worker.notification.sent": "a notification is sent, the outcome is not committed",
        "reconciler.locked": "a worker holds the lock of a periodic job",
        "reconciler.taken_back": "runs with expired leases are requeued, no event is published",
        "reconciler.queued_again": "one lost job is sent again, others are not",
        "retention.blob_deleted": "the blob of a terminal run is deleted, the run still refers to it",
    },
)

HOLD_POLL_SECONDS = 0.02

_FAULT = re.compile(r"([a-z_.]+)=(kill|exit|stop|hold|note|sleep:[0-9.]+|raise:transient)(?:@([0-9]+)(\+)?)?")
_PLAN = os.environ.get("FACNET_FAULTS", "")
_STATE = os.environ["FACNET_FAULTS_STATE"] if _PLAN else ""

if _PLAN:
    sys.stderr.write("FACNET_FAULTS is set: this process breaks on purpose\n")


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens at a point, and when."""

    point: str
    action: str
    time: int = 1
    onward: bool = False

    def is_due(self, times: int) -> bool:
        """Whether it happens when the point is reached for the `times`-th time."""
        return times >= self.time if self.onward else times == self.time


def point(name: str) -> None:
    """Mark a place in the code; does nothing unless this process was started to break."""
    if _PLAN:
        _reach(name)


def parse(plan: str) -> tuple[Fault, ...]:
    """Read a plan. Raises `ValueError` if a fault or the name of a point is unknown."""
    return tuple(_faults(plan))


def _faults(plan: str) -> Iterator[Fault]:
    for text in filter(None, map(str.strip, plan.split(";"))):
        found = _FAULT.fullmatch(text)
        if found is None or found[1] not in POINTS:
            raise ValueError(f"not a fault: {text}")
        yield Fault(found[1], found[2], int(found[3] or 1), onward=bool(found[4]))


def _reach(name: str) -> None:
    faults = [fault for fault in parse(_plan()) if fault.point == name]
    if not faults:
        return
    times = _count(name)
    for fault in faults:
        if fault.is_due(times):
            _break(fault)


def _plan() -> str:
    if not _PLAN.startswith("@"):
        return _PLAN
    with suppress(FileNotFoundError):
        return Path(_PLAN[1:]).read_text()
    return ""


def _count(name: str) -> int:
    with Path(_STATE).open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        times = sum(line.split(" ")[0] == name for line in file) + 1
        file.write(f"{name} {os.getpid()}\n")
    return times


def _break(fault: Fault) -> None:
    action, _, argument = fault.action.partition(":")
    if action in _SIGNALS:
        # To this very thread: sent to the process, a SIGSTOP would let it run on for a moment.
        signal.pthread_kill(threading.get_ident(), _SIGNALS[action])
    elif action == "exit":
        os._exit(1)
    elif action == "sleep":
        time.sleep(float(argument))
    elif action == "hold":
        while fault in parse(_plan()):
            time.sleep(HOLD_POLL_SECONDS)
    elif action == "raise":
        raise TransientError


_SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}
