"""Canaries: a file full of patients who do not exist goes every way there is, and is then looked for everywhere.

Server and worker are processes of their own, at the debug level. What they leave behind is all read: logs, Redis,
metrics, statuses, temporary files, the blob directory, the directory where a core would be, and PostgreSQL.
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
import time
import urllib.request
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pytest
import redis

from facnet_grpc.gen.facnet.v1 import validation_pb2
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.gen.facnet.v1.validation_service_pb2_grpc import ValidationServiceStub

pytestmark = pytest.mark.system

HERE = Path(__file__).parent
NAM, SURNAME, GIVEN, FILE_NAME = "CANA70612575", "ZQCANARIS", "ZQMELUSINE", "ZQFICHIER"
AMOUNTS = ("48151,62", "48151.62", "4815162")
PERSONS = (NAM, SURNAME, GIVEN, "ZQDOCTEUR")
CANARIES = (*PERSONS, FILE_NAME, *AMOUNTS)
CHUNK = 1 << 16
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
        row[at["Doctor Info"]] = "1100000-10000 | ZQDOCTEUR, Anne - Médecine familiale"
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
        self.plan = root / "plan"
        self.plan.write_text("")
        self.port, self.metrics = free_port(), free_port()
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
            "FACNET_FAULTS_STATE": str(root / "plan-state"),
            "TMPDIR": str(root / "tmp"),
            "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[2])]),
        }
        self._processes: list[subprocess.Popen[bytes]] = []
        self.start("server", self.metrics, "-m", "facnet_grpc", "serve")
        self.start_worker()
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.port}")
        self.stub = ValidationServiceStub(self.channel)
        self.said: list[str] = []

    def start(self, name: str, port: int, *command: str) -> None:
        with (self.root / "logs" / name).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *command],
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
            yield pb.SubmitValidationRequest(header=pb.UploadHeader(file_name=f"{FILE_NAME}.csv", **header))
            for start in range(0, len(data), CHUNK):
                chunk = pb.UploadChunk(offset=start, data=data[start : start + CHUNK])
                yield pb.SubmitValidationRequest(chunk=chunk)

        return self.stub.SubmitValidation(requests(), timeout=40, wait_for_ready=True).validation_id

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


@pytest.fixture
def service(tmp_path: Path, clean_postgres_url: str, redis_url: str) -> Iterator[Service]:
    running = Service(tmp_path, clean_postgres_url, redis_url)
    yield running
    running.stop()


def test_no_canary_gets_out(service: Service, clean_postgres_url: str) -> None:
    go_every_way(service)
    leave_some_behind(service)
    metrics = service.pages()
    found = in_redis(service.redis_url)
    service.stop()
    logs = b"".join(path.read_bytes() for path in (service.root / "logs").iterdir())
    assert b"run_claimed" in logs  # it is the logs that are looked at
    assert b"debug" in logs
    assert "facnet" in metrics
    assert_free("logs", logs)
    assert_free("metrics", metrics.encode())
    assert_free("Redis", found)
    assert_free("statuses", "".join(service.said).encode())
    on_disk = [path for path in service.root.rglob("*") if path.is_file()]
    assert any(path.parent.name == "parts" for path in on_disk)
    for path in on_disk:
        assert_free(f"{path.name}", path.name.encode() + path.read_bytes())
    stored = in_postgres(clean_postgres_url)
    assert b"48151" in stored  # the lines are there,
    for patient in (NAM, SURNAME, GIVEN):
        assert patient.encode() not in stored, f"{patient} is in PostgreSQL in clear"


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
    # A worker that is killed in the middle, and one that finds what it left.
    service.plan.write_text("worker.copy.done=kill@1")
    run_id = service.submit(claims())
    eventually((service.root / "plan-state").exists)
    service.plan.write_text("")
    service.start_worker()
    assert service.ended(run_id) == "COMPLETED"
    # PostgreSQL refuses a line in the middle of the COPY, and quotes it.
    with psycopg.connect(service.database_url, autocommit=True) as conn:
        conn.execute("ALTER TABLE billing_records ADD CONSTRAINT canary CHECK (code <> '77777') NOT VALID")
        try:
            assert service.ended(service.submit(claims(code="77777"))).startswith("FAILED")
        finally:
            conn.execute("ALTER TABLE billing_records DROP CONSTRAINT canary")
    # Cancelled while a worker is at it.
    service.plan.write_text("worker.copy.done=sleep:0.5")
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


def assert_free(where: str, content: bytes, canaries: tuple[str, ...] = CANARIES) -> None:
    for canary in canaries:
        assert canary.encode() not in content, f"{canary} is in {where}"


def in_redis(url: str) -> bytes:
    """Every key with all that it holds."""
    with redis.Redis.from_url(url) as client:
        readers: dict[bytes, Callable[[bytes], Any]] = {
            b"string": client.get,
            b"hash": client.hgetall,
            b"list": lambda key: client.lrange(key, 0, -1),
            b"set": client.smembers,
            b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
            b"stream": client.xrange,
        }
        found = {key: readers[client.type(key)](key) for key in client.scan_iter()}
    assert any(b"events" in key for key in found)
    return repr(found).encode()


def in_postgres(url: str) -> bytes:
    """Every row of every table."""
    with psycopg.connect(url) as conn:
        tables = conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        dump = []
        for (table,) in tables:
            with conn.cursor().copy(f'COPY "{table}" TO STDOUT') as copy:
                dump += [bytes(part) for part in copy]
    return b"".join(dump)
