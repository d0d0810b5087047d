"""`facnet top` and `facnet failed`, and the client behind them."""

from __future__ import annotations

import io
import json
import os
import pty
import termios
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from fake_server import RUN_ID, rich_status
from rich.console import Console
from typer.testing import CliRunner

from facnet_cli.app import build_app
from facnet_cli.errors import ExitCode
from facnet_cli.system import System, keyboard
from facnet_cli.texts import load
from facnet_client import FacnetClient
from facnet_client.operations import JobKind
from facnet_client.values import Phase, Priority
from facnet_grpc.gen.facnet.v1 import operations_service_pb2 as pb
from facnet_grpc.gen.facnet.v1 import validation_pb2
from facnet_grpc.gen.facnet.v1.operations_service_pb2_grpc import (
    OperationsServiceServicer,
    add_OperationsServiceServicer_to_server,
)

OTHER = RUN_ID.replace("1", "2")
GONE = RUN_ID.replace("1", "3")
WORKER = "0f8fad5b-d9cb-469f-a165-70867728950e"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def stats():
    found = pb.GetQueueStatsResponse(
        queues=[
            pb.QueueStats(kind=pb.JOB_KIND_VALIDATION, counts=pb.JobCounts(waiting=1234, active=1, failed=2)),
            pb.QueueStats(kind=pb.JOB_KIND_REVALIDATION),
            pb.QueueStats(kind=9),
        ],
        priorities=[pb.PriorityStats(priority=validation_pb2.PRIORITY_HIGH, counts=pb.JobCounts(waiting=3))],
        owners=[pb.OwnerStats(owner="clinic\x1b[31m", counts=pb.JobCounts(delayed=7))],
        day=pb.JobTimes(completed=10, failed=1, bytes=3 << 20, rows=5000),
        recent=pb.JobTimes(completed=1),
        workers=[pb.Worker(worker_id=WORKER, release="1.2", threads=1, validation_ids=[RUN_ID])],
        active_jobs=[
            pb.ActiveJob(
                validation_id=RUN_ID,
                owner="clinic",
                file_name="réclamations.csv",
                phase=validation_pb2.VALIDATION_PHASE_RULES,
                percent=80,
                worker_id=WORKER,
            )
        ],
    )
    found.time.FromDatetime(NOW)
    found.queues[0].counts.oldest_wait.FromTimedelta(timedelta(seconds=125))
    found.day.mean_wait.FromTimedelta(timedelta(seconds=1.5))
    found.recent_period.FromTimedelta(timedelta(minutes=15))
    for moment in (found.workers[0].start_time, found.workers[0].seen_time, found.active_jobs[0].start_time):
        moment.FromDatetime(NOW - timedelta(seconds=3))
    return found


def failed(validation_id, code="WORKER_CRASHED", **more):
    job = pb.FailedJob(
        kind=pb.JOB_KIND_VALIDATION,
        validation_id=validation_id,
        owner="clinic",
        file_name="claims.csv",
        error=validation_pb2.RunError(code=code, message="m", cure="c"),
        attempt=3,
        **more,
    )
    job.create_time.FromDatetime(NOW)
    job.end_time.FromDatetime(NOW)
    if job.can_replay:
        job.expire_time.FromDatetime(NOW + timedelta(days=1))
    return job


class Operations(OperationsServiceServicer):
    """Says what a test tells it to, and remembers what it was asked."""

    def __init__(self):
        self.asked = []
        self.jobs = []
        self.stats = stats()
        self.refuse = {}
        self.more = [False, True]

    def GetQueueStats(self, request, context):  # noqa: N802 - named by the service
        self._enter("stats", request, context)
        return self.stats

    def ListFailedJobs(self, request, context):  # noqa: N802 - named by the service
        self._enter("failed", request, context)
        start = int(request.page_token or 0)
        end = start + request.page_size
        return pb.ListFailedJobsResponse(
            jobs=self.jobs[start:end], next_page_token=str(end) if end < len(self.jobs) else ""
        )

    def ReplayFailedJob(self, request, context):  # noqa: N802 - named by the service
        self._enter(request.validation_id, request, context)
        run = validation_pb2.Validation(
            validation_id=request.validation_id, status=validation_pb2.VALIDATION_STATUS_QUEUED
        )
        return pb.ReplayFailedJobResponse(validation=run, replayed=request.validation_id != OTHER)

    def PurgeValidations(self, request, context):  # noqa: N802 - named by the service
        self._enter("purge", request, context)
        days = request.older_than_days if request.HasField("older_than_days") else 30
        return pb.PurgeValidationsResponse(purged=4, more=self.more.pop(), older_than_days=days)

    def _enter(self, key, request, context):
        self.asked.append(request)
        if key in self.refuse:
            context.abort_with_status(self.refuse[key])


@pytest.fixture
def operations():
    return Operations()


@pytest.fixture
def target(operations):
    server = grpc.server(ThreadPoolExecutor(max_workers=4))
    add_OperationsServiceServicer_to_server(operations, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(grace=None).wait()


def test_the_client_has_all_of_it_as_values(target, operations):
    operations.jobs = [failed(RUN_ID, can_replay=True), failed(OTHER)]
    with FacnetClient(target) as client:
        found = client.operations.stats(recent_minutes=5)
        jobs = list(client.operations.failed(owner="clinic", codes=["X"], failed_from=NOW, page_size=1))
        replayed = client.operations.replay(RUN_ID)
        purged = client.operations.purge(older_than_days=0, dry_run=True, owner="a")
        client.operations.purge()
    assert list(found.queues) == [JobKind.VALIDATION, JobKind.REVALIDATION, JobKind.UNSPECIFIED]
    assert found.queues[JobKind.VALIDATION].oldest_wait_seconds == 125
    assert found.queues[JobKind.REVALIDATION].oldest_wait_seconds is None
    assert found.priorities[Priority.HIGH].waiting == 3
    assert (found.day.mean_wait_seconds, found.day.mean_work_seconds, found.recent_seconds) == (1.5, None, 900)
    assert found.workers[0].validation_ids == (RUN_ID,)
    assert (found.active_jobs[0].phase, found.active_jobs[0].start_time) == (Phase.RULES, NOW - timedelta(seconds=3))
    assert [(job.can_replay, job.expire_time) for job in jobs] == [(True, NOW + timedelta(days=1)), (False, None)]
    assert (replayed.replayed, replayed.validation.validation_id) == (True, RUN_ID)
    assert (purged.purged, purged.more, purged.older_than_days) == (4, True, 0)
    asked_stats, first_page, _, _, asked_purge, usual_purge = operations.asked
    assert asked_stats.recent_minutes == 5
    assert (first_page.owner, list(first_page.codes)) == ("clinic", ["X"])
    assert first_page.failed_from.ToDatetime(tzinfo=UTC) == NOW
    assert asked_purge.HasField("older_than_days")
    assert asked_purge.dry_run
    assert not usual_purge.HasField("older_than_days")


def test_who_is_no_admin_is_told_so(facnet, operations):
    refusal = rich_status(grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED", "Il faut le rôle admin.", "Demandez.")
    operations.refuse = dict.fromkeys(("stats", "failed", RUN_ID), refusal)
    for arguments in (("top",), ("failed", "list"), ("failed", "replay", RUN_ID), ("failed", "replay", "--all")):
        ended = facnet(*arguments)
        assert ended.exit_code == ExitCode.REFUSED
        assert "PERMISSION_DENIED" in ended.stderr


def test_top_is_printed_once_where_nobody_looks(facnet, operations):
    for language, words in (
        ("fr", ["haute", "1\N{NO-BREAK SPACE}234", "2 min 05 s", "3 Mio", "règles", "80 %", "version"]),
        ("en", ["high", "1,234", "mean wait 1.5 s", "10 completed", "réclamations.csv", WORKER[:8]]),
    ):
        ended = facnet("top", language=language)
        assert ended.exit_code == ExitCode.OK
        assert [word for word in words if word.lower() not in ended.stdout.lower()] == []
        assert "\x1b" not in ended.stdout
    assert len(operations.asked) == 2


def test_top_says_when_there_is_no_worker(facnet, operations):
    del operations.stats.workers[:], operations.stats.active_jobs[:]
    assert "No worker" in facnet("top", "--once", language="en").stdout


def test_top_as_json_goes_on_until_it_is_stopped(facnet, operations):
    pauses = [0.0, 0.0]

    def sleep(_):
        if not pauses:
            raise KeyboardInterrupt
        pauses.pop()

    ended = facnet("top", "--json", system=System(sleep=sleep))
    assert ended.exit_code == ExitCode.OK
    first, *others = [json.loads(line) for line in ended.stdout.splitlines()]
    assert len(others) == 2
    assert first["queues"]["validation"]["waiting"] == 1234
    assert first["active_jobs"][0]["phase"] == "RULES"
    (once,) = facnet("top", "--json", "--once").stdout.splitlines()
    assert json.loads(once) == first


@pytest.fixture
def screen():
    """What is written on a terminal."""
    return io.StringIO()


def terminal(screen, keys, before_key=lambda: None):
    """A system with a terminal on which these keys are pressed."""
    console = Console(file=screen, force_terminal=True, width=150, height=60)
    pressed = iter(keys)

    def read_key(_):
        before_key()
        key = next(pressed)
        if key is KeyboardInterrupt:
            raise key
        return key

    return System(
        console=lambda stream: console, is_terminal=lambda stream: True, keyboard=lambda: nullcontext(read_key)
    )


@pytest.mark.parametrize("last", ["q", "Q", KeyboardInterrupt])
def test_top_shows_changes_until_it_is_stopped(facnet, operations, screen, last):
    ended = facnet("top", system=terminal(screen, ["", "x", last]))
    assert (ended.exit_code, ended.stderr) == (ExitCode.OK, "")
    assert len(operations.asked) == 3
    shown = screen.getvalue()
    assert "80 %" in shown
    assert "━" in shown
    assert "\x1b[31mclinic" not in shown
    assert shown.endswith("\x1b[?25h\x1b[?1049l")  # the cursor and the screen before are back


def test_top_goes_on_if_the_server_is_unavailable_for_a_moment(facnet, operations, screen):
    def restart():
        operations.refuse = {"stats": away} if "stats" not in operations.refuse else {}

    away = rich_status(grpc.StatusCode.UNAVAILABLE, "BACKEND_UNAVAILABLE", "Revenez plus tard.", "Attendez.")
    assert facnet("top", system=terminal(screen, ["", "", "q"], restart)).exit_code == ExitCode.OK
    assert "Revenez plus tard." in screen.getvalue()


def test_top_ends_if_the_caller_is_no_admin_any_more(facnet, operations, screen):
    def demote():
        operations.refuse = {"stats": rich_status(grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED", "Non.")}

    assert facnet("top", system=terminal(screen, ["", "q"], demote)).exit_code == ExitCode.REFUSED


def test_a_key_is_read_without_enter_and_the_terminal_left_as_it_was():
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "r") as stdin:
        before = termios.tcgetattr(theirs)
        with keyboard(stdin) as read_key:
            assert read_key(0) == ""
            threading.Timer(0.01, os.write, (ours, b"q")).start()
            assert read_key(10) == "q"
        assert termios.tcgetattr(theirs) == before
    os.close(ours)


def test_without_a_terminal_there_are_no_keys():
    with keyboard(io.StringIO("q")) as read_key:
        assert read_key(0) == ""


def test_failed_jobs_are_listed_with_what_can_be_done(facnet, operations):
    operations.jobs = [failed(RUN_ID, can_replay=True), failed(OTHER, "NOT_A_CSV"), failed(GONE)]
    operations.jobs[2].kind = pb.JOB_KIND_REVALIDATION
    kept, gone, revalidation = facnet("failed", "list", language="en").stdout.splitlines()
    assert all(word in kept for word in (RUN_ID, "WORKER_CRASHED", "clinic", "claims.csv", "kept until 2026-11-2"))
    assert "NOT_A_CSV" in gone
    assert "file deleted" in gone
    assert "must be requested again" in revalidation
    facnet("failed", "list", "--owner", "a", "--code", "X", "--code", "Y", "--from", "2026-01-01", "--limit", "2")
    request = operations.asked[-1]
    assert (request.owner, list(request.codes), request.page_size) == ("a", ["X", "Y"], 2)
    assert request.HasField("failed_from")
    lines = facnet("failed", "list", "--json", "--all").stdout.splitlines()
    assert [json.loads(line)["can_replay"] for line in lines] == [True, False, False]
    operations.jobs = []
    assert facnet("failed", "list").stdout == "Aucun travail échoué.\n"


def test_runs_that_are_named_are_tried_again(facnet, operations):
    ended = facnet("failed", "replay", RUN_ID, OTHER, language="en")
    assert ended.exit_code == ExitCode.OK
    assert ended.stdout.splitlines() == [f"{RUN_ID}: queued", f"{OTHER}: already queued"]
    lines = facnet("failed", "replay", RUN_ID, OTHER, "--json").stdout.splitlines()
    assert [(line["validation_id"], line["replayed"]) for line in map(json.loads, lines)] == [
        (RUN_ID, True),
        (OTHER, False),
    ]


def test_one_that_cannot_be_tried_again_keeps_no_other_from_it(facnet, operations):
    operations.refuse = {
        GONE: rich_status(
            grpc.StatusCode.FAILED_PRECONDITION, "BLOB_MISSING", "Le fichier n'est plus là.", "Remettez-le."
        )
    }
    ended = facnet("failed", "replay", GONE, RUN_ID, language="en")
    assert ended.exit_code == ExitCode.BAD_INPUT
    assert "BLOB_MISSING" in ended.stderr
    assert f"{RUN_ID}: queued" in ended.stdout
    first, second = map(json.loads, facnet("failed", "replay", GONE, RUN_ID, "--json").stdout.splitlines())
    assert (first["reason"], first["replayed"], second["replayed"]) == ("BLOB_MISSING", False, True)


def test_all_that_can_be_are_tried_again(facnet, operations):
    operations.jobs = [failed(RUN_ID, can_replay=True), failed(GONE), failed(OTHER, can_replay=True)]
    ended = facnet("failed", "replay", "--all", "--code", "WORKER_CRASHED")
    assert ended.exit_code == ExitCode.OK
    listing, *replays = operations.asked
    assert list(listing.codes) == ["WORKER_CRASHED"]
    assert [request.validation_id for request in replays] == [RUN_ID, OTHER]
    operations.jobs = []
    assert "Aucun travail échoué" in facnet("failed", "replay", "--all").stdout


@pytest.mark.parametrize("arguments", [(), (RUN_ID, "--all"), (RUN_ID, "--code", "X"), ("--owner", "a")])
def test_it_has_to_be_clear_which(facnet, operations, arguments):
    ended = facnet("failed", "replay", *arguments)
    assert ended.exit_code == ExitCode.USAGE
    assert "--all" in ended.stderr
    assert operations.asked == []


def test_a_purge_through_the_server_goes_on_until_nothing_is_left(facnet, operations):
    ended = facnet("purge", "--older-than", "40d")
    assert (ended.exit_code, ended.stdout) == (
        ExitCode.OK,
        "8 validations terminées il y a plus de 40 jours ont été supprimées.\n",
    )
    assert [(request.older_than_days, request.dry_run) for request in operations.asked] == [(40, False)] * 2
    operations.more = [False]
    assert json.loads(facnet("purge", "--dry-run", "--json").stdout) == {
        "validations": 4,
        "older_than_days": 30,
        "dry_run": True,
    }
    assert operations.asked[-1].dry_run


@pytest.mark.parametrize("days", ["3 weeks", "-1", "d", ""])
def test_what_is_no_number_of_days_is_refused(facnet, operations, days):
    ended = facnet("purge", "--older-than", days)
    assert ended.exit_code == ExitCode.USAGE
    assert operations.asked == []


def test_without_a_server_the_database_itself_is_purged(monkeypatch):
    commands = []
    monkeypatch.delenv("FACNET_SERVER", raising=False)
    system = System(replace_process=lambda command: commands.append(command[2:]), is_installed=lambda module: True)
    for arguments in (["purge"], ["purge", "--older-than", "30d", "--dry-run", "--json", "--lang", "en"]):
        CliRunner().invoke(build_app(load("en"), system), arguments)
    assert commands == [
        ["facnet_grpc", "purge", "--lang", "en"],
        ["facnet_grpc", "purge", "--lang", "en", "--json", "--older-than", "30", "--dry-run"],
    ]
