"""The product's client over servers that go away and come back, and people who press Ctrl-C."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from serving import Server, Worker, eventually, submit

from facnet_client import FacnetClient, Retry, Status
from facnet_grpc.model.run import RunStatus
from facnet_grpc.storage.postgres import runs

FACNET = (sys.executable, "-c", "from facnet_cli import main; main()")
SOON = Retry(connect=30, patience=60, first_delay=0.05, largest_delay=0.3)
AWAY_SECONDS = 1.5


class Gate(io.RawIOBase):
    """A file whose second half comes only once it may."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0
        self.half_read, self.may_go_on = threading.Event(), threading.Event()

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self.at = (0, self.at, len(self.data))[whence] + offset
        return self.at

    def tell(self) -> int:
        return self.at

    def read(self, size: int = -1) -> bytes:
        if self.at >= len(self.data) // 2 and self.hashed:
            self.half_read.set()
            self.may_go_on.wait(60)
        found = self.data[self.at : self.at + size]
        self.at += len(found)
        self.hashed = self.hashed or self.at == len(self.data)  # the first round is for the SHA-256
        return found

    hashed = False


def restart(make_server: Callable[..., Server], server: Server) -> Server:
    """Stop a server as a signal does, leave its port alone for a while, and start another one there."""
    server.do(server.running.stop(0.2))
    server.stop()
    time.sleep(AWAY_SECONDS)
    return make_server(listen=server.target)


def test_an_upload_goes_on_over_a_restart(server: Server, make_server: Callable[..., Server]) -> None:
    data, breaks = os.urandom(6 << 20), []
    file = Gate(data)
    with FacnetClient(server.target, retry=SOON) as client:
        answers: list[str] = []

        def send() -> None:
            answers.append(client.submit(file, on_break=lambda error: breaks.append(error is None)).validation_id)

        thread = threading.Thread(target=send)
        thread.start()
        assert file.half_read.wait(30)
        eventually(lambda: any(part.size_bytes > 1 << 20 for part in server.blobs.parts()))
        fresh = restart(make_server, server)
        file.may_go_on.set()
        thread.join(60)
    assert (breaks[0], breaks[-1]) == (False, True)
    with fresh.database.connection() as conn:
        run = runs.get(conn, UUID(answers[0]))
        assert conn.execute("SELECT count(*) FROM validation_runs").fetchone() == (1,)
    with fresh.blobs.open(run.blob_key) as stored:
        assert stored.read() == data


def test_a_watch_does_not_notice_a_restart(server: Server, make_server: Callable[..., Server]) -> None:
    run_id = submit(server)
    worker = Worker(server, run_id).start()
    worker.store(10)
    seen, errors = [], []
    watching = threading.Event()

    def watch() -> None:
        try:
            with FacnetClient(server.target, retry=SOON) as client:
                for update in client.watch(str(run_id)):
                    seen.append(update)
                    watching.set()
        except Exception as error:  # noqa: BLE001 - whatever it is, the test says it
            errors.append(error)

    thread = threading.Thread(target=watch)
    thread.start()
    assert watching.wait(30)
    stopping = threading.Thread(target=lambda: worker.store(60))
    stopping.start()
    fresh = restart(make_server, server)
    Worker.complete(_on(worker, fresh))
    thread.join(60)
    assert errors == []
    assert [update.status for update in seen].count(Status.COMPLETED) == 1
    assert seen[-1].status is Status.COMPLETED
    percents = [update.percent for update in seen]
    assert percents == sorted(percents)
    assert percents[-1] == 100


def _on(worker: Worker, server: Server) -> Worker:
    worker._server = server
    return worker


def facnet(server: Server, *arguments: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "FACNET_SERVER": server.target, "LC_ALL": "en_CA.UTF-8"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([*FACNET, *arguments], env=environment, **pipes)


def test_an_upload_that_somebody_interrupts_is_gone_on_with(server: Server) -> None:
    data = os.urandom(5 << 20)
    with facnet(server, "submit", "-") as first:
        first.stdin.write(data[: 3 << 20])
        first.stdin.flush()
        eventually(lambda: any(part.size_bytes > 1 << 20 for part in server.blobs.parts()), 60)
        first.send_signal(signal.SIGINT)
        output = first.stderr.read().decode()  # it ends although it could still read
        assert first.wait(30) == 130, output
    assert "Traceback" not in output
    (upload_id,) = re.findall(r"submit --resume (\S+) -", output.replace("\n", ""))
    with server.database.connection() as conn:
        assert conn.execute("SELECT count(*) FROM validation_runs").fetchone() == (0,)
    with facnet(server, "submit", "--resume", upload_id, "-", "--json") as second:
        out, err = second.communicate(data, timeout=60)
    assert second.returncode == 0, err
    with server.database.connection() as conn:
        (run,) = runs.page(conn, "local", limit=9)
    assert str(run.id) in out.decode()
    with server.blobs.open(run.blob_key) as stored:
        assert stored.read() == data


@pytest.mark.parametrize("how", ["cancel", "delete"])
def test_runs_are_changed_from_the_command_line(server: Server, how: str) -> None:
    run_id = submit(server)
    with facnet(server, "cancel", str(run_id)) as process:
        out, _ = process.communicate(timeout=60)
        assert (process.returncode, "cancelled" in out.decode()) == (0, True)
    with server.database.connection() as conn:
        assert runs.get(conn, run_id).status is RunStatus.CANCELLED
    if how == "delete":
        with facnet(server, "delete", "--yes", str(run_id)) as process:
            assert process.wait(60) == 0
        with facnet(server, "delete", "--yes", str(run_id)) as process:
            assert process.wait(60) == 3
    with facnet(server, "cancel", str(uuid4())) as process:
        assert process.wait(60) == 3
