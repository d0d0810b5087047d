"""Canaries: a file full of patients who do not exist goes every way there is, and is then looked for everywhere.

Server and worker are processes of their own, at the debug level. What they leave behind is all read: logs, traces,
every command that Redis was sent and every key that it has, dead letters among them, metrics, statuses, temporary
files, the blob directory, the directory where a core would be, PostgreSQL, and what is told to others: webhooks and
e-mail. `test_canary_scan.py` shows that one
would be seen.
"""

from __future__ import annotations

import csv
import io
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import grpc
import psycopg
import pytest
import redis
from canary_receivers import Receivers
from canary_scan import (
    AMOUNTS,
    DOCTOR,
    FILE_NAME,
    GIVEN,
    NAM,
    PATIENT,
    SURNAME,
    in_postgres,
    in_redis,
    in_spans,
    on_disk,
    seen,
)
from dramatiq import Message

from facnet_grpc.gen.facnet.v1 import validation_pb2
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.gen.facnet.v1.validation_service_pb2_grpc import ValidationServiceStub
from facnet_grpc.jobs.contract import QUEUE, ValidateRun
from facnet_grpc.jobs.queue import make_broker
from workers.notifier import LEASE_SECONDS

pytestmark = pytest.mark.system

HERE = Path(__file__).parent
CHUNK = 1 << 16
CORES = 'ulimit -c unlimited 2>/dev/null; exec "$@"'  # whoever starts a process may want cores of it
END = b"that is all"
WORSE = 2  # the line of a file whose date is none


def claims(count: int = 300, *, every_line_bad: bool = False, **more: str) -> bytes:
    """The shipped sample, with canaries for patients, doctors and amounts."""
    text = (files("facnet_grpc.sample") / "claims-5000.csv").read_bytes().decode("cp1252")
    header, *rows = csv.reader(io.StringIO(text), delimiter=";")
    at = {name: header.index(name) for name in ("Date de Service", "Code", "Patient", "Doctor Info", "Grand Total")}
    at["amount"] = header.index("Montant Preliminaire")
    out = io.StringIO()
    writer = csv.writer(out, delimiter=";", lineterminator="\n")
    writer.writerow(header)
    for number, row in enumerate(rows[:count]):
        row[at["Patient"]] = f"{NAM} - {SURNAME}, {GIVEN}"
        row[at["Doctor Info"]] = f"1100000-10000 | {DOCTOR}, Anne - Médecine familiale"
        row[at["amount"]] = row[at["Grand Total"]] = AMOUNTS[0]
        if every_line_bad or number % 10 == WORSE:
            row[at["Date de Service"]] = f"{SURNAME} {NAM}"
        if more.get("code"):
            row[at["Code"]] = more["code"]
        writer.writerow(row)
    return out.getvalue().encode("cp1252")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(check: Callable[[], Any], seconds: float = 60.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
    return found


class Service:
    """A server and a worker; everything that they are told to leave is in one directory."""

    def __init__(self, root: Path, database_url: str, redis_url: str) -> None:
        self.root, self.database_url, self.redis_url = root, database_url, redis_url
        for name in ("tmp", "cwd", "logs"):
            (root / name).mkdir()
        self.plan, self.reached = root / "plan", root / "plan-state"
        self.bug, self.spans = root / "bug", root / "spans.jsonl"
        self.plan.write_text("")
        self.port, self.metrics = free_port(), free_port()
        self.receivers = Receivers()
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("FACNET_", "DATABASE_"))}
        self.environment = clean | {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "FACNET_BLOB_DIR": str(root / "files"),
            "FACNET_PSEUDONYM_KEY": "p" * 32,
            "FACNET_BLOB_KEY": "b" * 32,
            "FACNET_LISTEN": f"127.0.0.1:{self.port}",
            "FACNET_LOG_LEVEL": "debug",
            "FACNET_LOG_FORMAT": "json",
            "FACNET_LEASE_SECONDS": "1",
            "FACNET_RECONCILE_SECONDS": "0.2",
            "FACNET_RETENTION_SCHEDULE": "1s",
            "FACNET_RETRY_BASE_SECONDS": "0.05",
            "FACNET_MAX_ATTEMPTS": "2",
            "FACNET_SHUTDOWN_SECONDS": "1",
            "FACNET_FAULTS": f"@{self.plan}",
            "FACNET_FAULTS_STATE": str(self.reached),
            "FACNET_OTLP_ENDPOINT": self.spans.as_uri(),
            "CANARY_BUG": str(self.bug),
            "TMPDIR": str(root / "tmp"),
            "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[2])]),
        }
        self.environment |= self.receivers.environment
        self._processes: list[subprocess.Popen[bytes]] = []
        self.start("server", self.metrics, "-m", "facnet_grpc", "serve")
        self.start_worker()
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.port}")
        self.stub = ValidationServiceStub(self.channel)
        self.said: list[str] = []

    def start(self, name: str, port: int, *command: str) -> None:
        with (self.root / "logs" / name).open("ab") as log:
            process = subprocess.Popen(
                ["/bin/sh", "-c", CORES, "sh", sys.executable, *command],
                env=self.environment | {"FACNET_METRICS_LISTEN": f"127.0.0.1:{port}"},
                cwd=self.root / "cwd",
                stdout=log,
                stderr=log,
            )
        self._processes.append(process)

    def start_worker(self) -> None:
        command = ("-m", "dramatiq", "canary_worker:setup", "--processes", "1", "--threads", "1")
        self.start("worker", self.metrics, *command)

    def stop(self) -> None:
        self.channel.close()
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self._processes:
            process.wait(60)

    def pages(self) -> str:
        """The metrics of the server and of the worker that lives; where its page is, is in the log."""
        opened = re.findall(r'"port": (\d+), "event": "metrics_page_open"', (self.root / "logs" / "worker").read_text())
        return "".join(
            urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
            for port in (self.metrics, opened[-1])
        )

    def submit(self, data: bytes, **header: Any) -> str:
        def requests() -> Iterator[pb.SubmitValidationRequest]:
            told = {"file_name": f"{FILE_NAME}.csv", "batch_id": FILE_NAME, "labels": {"x": FILE_NAME}}
            told |= {"webhook_url": self.receivers.url}
            yield pb.SubmitValidationRequest(header=pb.UploadHeader(**told | header))
            for start in range(0, len(data), CHUNK):
                chunk = pb.UploadChunk(offset=start, data=data[start : start + CHUNK])
                yield pb.SubmitValidationRequest(chunk=chunk)

        return self.stub.SubmitValidation(requests(), timeout=40, wait_for_ready=True).validation_id

    def send_unknown_job(self, run_id: str) -> None:
        broker = make_broker(self.redis_url)
        kwargs = ValidateRun(UUID(run_id)).to_kwargs()
        broker.enqueue(Message(queue_name=QUEUE, actor_name="of_tomorrow", args=(), kwargs=kwargs, options={}))
        broker.close()

    def get(self, run_id: str) -> validation_pb2.Validation:
        return self.stub.GetValidation(pb.GetValidationRequest(validation_id=run_id), timeout=5).validation

    def ended(self, run_id: str) -> str:
        """Wait for the end of a run, and return its status and its error."""
        done = ("COMPLETED", "FAILED", "CANCELLED")

        def look() -> str:
            run = self.get(run_id)
            status = validation_pb2.ValidationStatus.Name(run.status).removeprefix("VALIDATION_STATUS_")
            self.said.append(str(run.error))
            return f"{status} {run.error.code}".strip() if status in done else ""

        return str(eventually(look))

    def refuse(self, call: Callable[[], Any]) -> grpc.StatusCode:
        with pytest.raises(grpc.RpcError) as caught:
            call()
        error = caught.value
        self.said += [error.details() or "", repr(error.trailing_metadata())]
        return error.code()


class Traffic:
    """Every command that anybody sends to Redis meanwhile."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url, socket_timeout=None)
        self._monitor = self._client.monitor()
        self._commands: list[bytes] = []
        self._thread = threading.Thread(target=self._listen)

    def __enter__(self) -> Self:
        self._monitor.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.echo(END)
        self._thread.join(20)
        self._monitor.__exit__(None, None, None)
        self._client.close()

    def _listen(self) -> None:
        while END not in (command := self._monitor.connection.read_response()):
            self._commands.append(command)

    def seen(self) -> bytes:
        return b"\n".join(self._commands)


@pytest.fixture
def service(tmp_path: Path, clean_postgres_url: str, redis_url: str) -> Iterator[Service]:
    running = Service(tmp_path, clean_postgres_url, redis_url)
    yield running
    running.stop()
    running.receivers.close()


def test_no_canary_gets_out(service: Service, clean_postgres_url: str) -> None:
    with Traffic(service.redis_url) as traffic:
        go_every_way(service)
        leave_some_behind(service)
        metrics = service.pages()
        keys = in_redis(service.redis_url)
        # A worker that was killed while it delivered keeps its notifications until their lease expires.
        eventually(lambda: not owed(clean_postgres_url), LEASE_SECONDS + 60)
    service.stop()
    spans = in_spans(service.spans)
    logs = b"".join(path.read_bytes() for path in (service.root / "logs").iterdir())
    statuses = "".join(service.said).encode()
    said = {"logs": logs, "metrics": metrics.encode(), "statuses": statuses, "Redis, in passing": traffic.seen()}
    told = {"webhooks": b"".join(service.receivers.webhooks), "mails": b"".join(service.receivers.mails)}
    files = on_disk(service.root)

    # It is what it should be that is looked at.
    assert b"run_claimed" in logs
    assert b"debug" in logs
    assert "facnet" in metrics
    assert b"SubmitValidation" in spans["spans: name"]
    assert b"ERROR" in spans["spans: status"]
    assert [place for place in keys if place.startswith("Redis: facnet:events:")]
    assert [place for place in keys if place.startswith("dead letters: ")]
    assert b"validate_run" in said["Redis, in passing"]
    assert [place for place in files if place.startswith("the file files/parts/")]

    for status in ("completed", "failed", "cancelled"):
        assert f"facnet.validation.{status}".encode() in told["webhooks"]
    assert b"Validation" in told["mails"]

    assert seen(said | keys | spans | files | told) == []
    assert not [place for place in files if "core" in place.rpartition("/")[2]]
    stored = in_postgres(clean_postgres_url)
    assert b"48151" in stored  # the lines are there,
    assert seen({"PostgreSQL, in clear": stored}, PATIENT) == []


def owed(url: str) -> bool:
    with psycopg.connect(url) as conn:
        return bool(conn.execute("SELECT 1 FROM notifications WHERE ended_at IS NULL").fetchone())


def go_every_way(service: Service) -> None:
    # Bad cells, and a rule with a bug.
    assert service.ended(service.submit(claims())) == "COMPLETED"
    # Nothing usable; no claim file at all; compressed rubbish.
    assert service.ended(service.submit(claims(20, every_line_bad=True))) == "FAILED NO_USABLE_ROWS"
    rubbish = f"{NAM} {SURNAME}\n".encode() * 50
    assert service.ended(service.submit(rubbish)).startswith("FAILED")
    assert service.ended(service.submit(b"\x1f\x8b\x08" + rubbish)).startswith("FAILED")
    # Refused uploads.
    assert service.refuse(lambda: service.submit(rubbish, sha256="0" * 64)) is grpc.StatusCode.DATA_LOSS
    assert service.refuse(lambda: service.submit(rubbish, size_bytes=7)) is grpc.StatusCode.DATA_LOSS
    unknown = pb.GetValidationRequest(validation_id=f"{NAM}-{SURNAME}")
    assert service.refuse(lambda: service.stub.GetValidation(unknown)) is grpc.StatusCode.INVALID_ARGUMENT
    # A worker that is killed in the middle, one that crashes, and those that find what they left.
    for die in (signal.SIGKILL, signal.SIGSEGV):
        service.plan.write_text("worker.copy.done=hold@1+")
        service.reached.unlink(missing_ok=True)
        run_id = service.submit(claims())
        eventually(service.reached.exists)
        os.kill(int(service.reached.read_text().split()[1]), die)
        service.plan.write_text("")
        service.start_worker()
        assert service.ended(run_id) == "COMPLETED"
    # A job that fails outside of all that is foreseen; its run is taken up again.
    service.bug.touch()
    run_id = service.submit(claims(20))
    eventually(lambda: not service.bug.exists())
    assert service.ended(run_id) == "COMPLETED"
    # A job of a version that this worker does not know: its message is a dead letter.
    service.send_unknown_job(run_id)
    eventually(lambda: [place for place in in_redis(service.redis_url) if place.startswith("dead letters: ")])
    # PostgreSQL refuses a line in the middle of the COPY, and quotes it.
    with psycopg.connect(service.database_url, autocommit=True) as conn:
        conn.execute("ALTER TABLE billing_records ADD CONSTRAINT canary CHECK (code <> '77777') NOT VALID")
        try:
            assert service.ended(service.submit(claims(code="77777"))).startswith("FAILED")
        finally:
            conn.execute("ALTER TABLE billing_records DROP CONSTRAINT canary")
    # Cancelled while a worker is at it.
    service.plan.write_text("worker.copy.done=hold")
    run_id = service.submit(claims(code="15803"))
    eventually(lambda: service.get(run_id).status == validation_pb2.VALIDATION_STATUS_PROCESSING)
    service.stub.CancelValidation(pb.CancelValidationRequest(validation_id=run_id), timeout=5)
    assert service.ended(run_id) == "CANCELLED"
    service.plan.write_text("")


def leave_some_behind(service: Service) -> None:
    """An upload that breaks off leaves its part."""

    def requests() -> Iterator[pb.SubmitValidationRequest]:
        yield pb.SubmitValidationRequest(header=pb.UploadHeader(file_name=f"{FILE_NAME}.csv"))
        yield pb.SubmitValidationRequest(chunk=pb.UploadChunk(offset=0, data=claims(100)))
        yield pb.SubmitValidationRequest(chunk=pb.UploadChunk(offset=7, data=claims(100)))

    refused = service.refuse(lambda: service.stub.SubmitValidation(requests(), timeout=10))
    assert refused is grpc.StatusCode.OUT_OF_RANGE
