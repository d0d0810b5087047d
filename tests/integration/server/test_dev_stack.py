"""`python -m facnet_grpc dev` and `doctor`: a stack that starts, answers, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pytest
from serving import KEY, eventually, messages

from facnet_grpc.doctor.examination import examine
from facnet_grpc.doctor.report import report
from facnet_grpc.doctor.storage import check_blobs, check_postgres, check_redis
from facnet_grpc.gen.facnet.v1 import validation_pb2
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.gen.facnet.v1.validation_service_pb2_grpc import ValidationServiceStub
from facnet_grpc.sample.writer import write_sample
from facnet_grpc.settings import Settings
from facnet_grpc.texts.language import Locale

pytestmark = pytest.mark.system


def dev(environment: dict[str, str]) -> subprocess.Popen[str]:
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("FACNET_", "DATABASE_", "REDIS_"))
    }
    return subprocess.Popen(
        [sys.executable, "-m", "facnet_grpc", "dev", "--ephemeral", "--announce", "json", "--until-stdin-closes"],
        env=clean | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def members(root: int) -> set[int]:
    """Every living descendant of a process."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z":
            parents[int(entry.parent.name)] = int(fields[1])
    found, fresh = set[int](), {root}
    while fresh:
        fresh = {pid for pid, parent in parents.items() if parent in fresh} - found
        found |= fresh
    return found


def alive(pids: set[int]) -> set[int]:
    return {pid for pid in pids if is_alive(pid)}


def is_alive(pid: int) -> bool:
    """Tell whether a process runs. It may end while it is looked at."""
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


@pytest.fixture
def environment(clean_postgres_url: str, redis_url: str) -> dict[str, str]:
    return {"DATABASE_URL": clean_postgres_url, "REDIS_URL": redis_url, "FACNET_WORKER_PROCESSES": "1"}


@pytest.fixture
def stack(environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    with dev(environment) as process:
        yield process
        process.kill()


def databases_of_stacks(server: str) -> set[str]:
    with psycopg.connect(server) as conn:
        rows = conn.execute("SELECT datname FROM pg_database WHERE starts_with(datname, 'facnet_run_')").fetchall()
    return {name for (name,) in rows}


def announced(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout
    output = json.loads(process.stdout.readline())
    assert output["pid"] == process.pid
    return output


def test_a_stack_checks_a_file_and_ends_with_its_parent(
    stack: subprocess.Popen[str], tmp_path: Path, postgres_url: str
) -> None:
    output = announced(stack)
    assert output["notes"] == []
    own = databases_of_stacks(postgres_url)
    assert own, "none that others use"
    sample = tmp_path / "claims.csv"
    write_sample(50, sample)
    with grpc.insecure_channel(output["target"]) as channel:
        stub = ValidationServiceStub(channel)
        run_id = stub.SubmitValidation(messages(sample.read_bytes())).validation_id
        *_, last = stub.WatchValidation(pb.WatchValidationRequest(validation_id=run_id), timeout=60)
    assert last.status == validation_pb2.VALIDATION_STATUS_COMPLETED
    assert last.progress.rows_loaded == 50
    children = members(stack.pid)
    assert len(children) >= 3, "a server, a worker and its process"
    assert stack.stdin
    stack.stdin.close()
    assert stack.wait(30) == 0
    assert not alive(children)
    assert not Path(output["data_dir"]).exists()
    assert databases_of_stacks(postgres_url) < own


def test_a_stack_that_is_killed_leaves_no_process(stack: subprocess.Popen[str]) -> None:
    announced(stack)
    children = members(stack.pid)
    stack.kill()
    eventually(lambda: not alive(children), 30)


def test_a_stack_whose_server_dies_says_so(environment: dict[str, str]) -> None:
    with dev(environment) as process:
        announced(process)
        server = next(pid for pid in members(process.pid) if b"serve" in Path(f"/proc/{pid}/cmdline").read_bytes())
        os.kill(server, signal.SIGKILL)
        assert process.wait(30) == 1


def settings(**changes: object) -> Settings:
    usual = {"database_url": "x", "redis_url": "redis://127.0.0.1:1", "blob_dir": "/", "pseudonym_key": KEY}
    return Settings.of(**usual | changes)


def test_the_doctor_is_content_with_a_healthy_stack(clean_postgres_url: str, redis_url: str, tmp_path: Path) -> None:
    healthy = settings(database_url=clean_postgres_url, redis_url=redis_url, blob_dir=tmp_path / "b").storage
    findings = [check_postgres(healthy), check_redis(healthy), check_blobs(healthy)]
    assert [finding.code for finding in findings] == ["postgres_ok", "redis_ok", "blobs_ok"]


def test_the_doctor_names_what_is_wrong(empty_postgres_url: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    sick = settings(database_url=empty_postgres_url, blob_dir=tmp_path / "file", listen="127.0.0.1:1")
    output: list[str] = []
    assert not report(examine(sick), output.append, locale=Locale.EN, as_json=True)
    assert [json.loads(line)["code"] for line in output] == [
        "postgres_pending",
        "redis_away",
        "blobs_fail",
        "access_open",
        "disk_ok",
        "keys_missing",
        "clock_ok",
        "worker_away",
        "webhooks_off",
        "mail_off",
        "server_away",
    ]
    assert all(json.loads(line)["text"] for line in output)
    away = settings(database_url="postgresql://127.0.0.1:1/x").storage
    assert check_postgres(away, timeout=0.3).code == "postgres_away"
