"""`facnet cancel`, `retry`, `delete`, `submit --resume`, and what is shown of the first findings."""

from __future__ import annotations

import io
import json
import time
from uuid import uuid4

import grpc
import pytest
from fake_server import RUN_ID, progress, rich_status, terminal
from rich.console import Console

from facnet_cli.errors import ExitCode
from facnet_cli.progress import Bars
from facnet_cli.system import System
from facnet_cli.texts import load
from facnet_client.client import FacnetClient
from facnet_client.errors import Unavailable
from facnet_client.upload import CHUNK_BYTES
from facnet_client.values import Update
from facnet_grpc.gen.facnet.v1 import result_pb2, validation_pb2


@pytest.mark.parametrize(
    ("status", "language", "said"),
    [
        (validation_pb2.VALIDATION_STATUS_CANCELLED, "fr", "annulée"),
        (validation_pb2.VALIDATION_STATUS_PROCESSING, "en", "cancellation requested"),
        (validation_pb2.VALIDATION_STATUS_COMPLETED, "en", "completed"),
    ],
)
def test_cancel_says_what_became_of_the_run(facnet, fake, status, language, said):
    fake.validation.status = status
    ended = facnet("cancel", RUN_ID, language=language)
    assert ended.exit_code == ExitCode.OK
    assert RUN_ID in ended.stdout
    assert said in ended.stdout
    assert fake.requests[0].validation_id == RUN_ID


def test_retry_says_that_the_run_waits(facnet, fake):
    fake.validation.status = validation_pb2.VALIDATION_STATUS_QUEUED
    assert "en attente" in facnet("retry", RUN_ID).stdout
    assert json.loads(facnet("retry", RUN_ID, "--json").stdout)["status"] == "QUEUED"


def test_delete_needs_a_yes(facnet, fake):
    for arguments in ((), ("--json",)):
        ended = facnet("delete", RUN_ID, *arguments)
        assert ended.exit_code == ExitCode.USAGE
        assert "--yes" in ended.stderr
    assert fake.requests == []
    assert "supprimée" in facnet("delete", RUN_ID, "--yes").stdout
    assert json.loads(facnet("delete", RUN_ID, "-y", "--json").stdout) == {"validation_id": RUN_ID, "deleted": True}


@pytest.mark.parametrize(("answer", "deleted"), [("o", True), ("OUI", True), ("n", False), ("", False)])
def test_delete_asks_at_a_terminal(facnet, fake, answer, deleted):
    ended = facnet("delete", RUN_ID, stdin=f"{answer}\n", system=System(is_terminal=lambda stream: True))
    assert (ended.exit_code == ExitCode.OK) is deleted
    assert len(fake.requests) == deleted


@pytest.mark.parametrize("command", [("cancel",), ("retry",), ("delete", "--yes")])
def test_what_the_server_refuses_is_told(facnet, fake, command):
    fake.refuse = rich_status(grpc.StatusCode.FAILED_PRECONDITION, "WRONG_STATE", "Elle est terminée.", "Attendez.")
    ended = facnet(*command, RUN_ID)
    assert ended.exit_code == ExitCode.BAD_INPUT
    assert "Elle est terminée." in ended.stderr
    assert "WRONG_STATE" in ended.stderr


def test_submit_goes_on_with_an_upload(facnet, fake, tmp_path):
    data, upload_id = bytes(3 * CHUNK_BYTES), str(uuid4())
    path = tmp_path / "claims.csv"
    path.write_bytes(data)
    fake.uploads[upload_id] = bytearray(data[:CHUNK_BYTES])
    ended = facnet("submit", "--resume", upload_id, path)
    assert ended.exit_code == ExitCode.OK
    assert fake.streams == [[CHUNK_BYTES, 2 * CHUNK_BYTES]]
    assert facnet("submit", "--resume", upload_id, path, path).exit_code == ExitCode.USAGE


@pytest.mark.parametrize(
    ("error", "code"), [(KeyboardInterrupt(), ExitCode.INTERRUPTED), (Unavailable("GONE", "x"), ExitCode.UNREACHABLE)]
)
def test_an_upload_that_is_broken_off_says_how_to_go_on(facnet, monkeypatch, tmp_path, error, code):
    def submit(self, source, *, on_progress, upload_id, **_):
        used.append(upload_id)
        on_progress(1, 2)
        raise error

    used = []
    path = tmp_path / "my claims.csv"
    path.write_bytes(b"x")
    monkeypatch.setattr(FacnetClient, "submit", submit)
    ended = facnet("submit", path, language="en")
    assert ended.exit_code == code
    assert f"submit --resume {used[0]} '{path}'" in ended.stderr.replace("\n", "")


def test_a_watch_that_is_broken_off_says_that_the_run_goes_on(facnet, monkeypatch, claims):
    def watch(*_, **__):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(FacnetClient, "watch", watch)
    ended = facnet("submit", "--watch", claims)
    assert ended.exit_code == ExitCode.INTERRUPTED
    assert f"watch {RUN_ID}" in ended.stderr


FOUND = result_pb2.ValidationResult(
    result_number=1,
    rule_id="office_fee",
    scenario="place",
    severity=result_pb2.SEVERITY_ERROR,
    record_number=1234,
    message="Frais de cabinet\x1b[31m au mauvais endroit",
)


class Screen(io.StringIO):
    """A terminal on standard error; bars are drawn on it from time to time."""

    def system(self):
        console = Console(file=self, force_terminal=True, width=110, no_color=True)
        return System(console=lambda stream: console, is_terminal=lambda stream: True)

    def drawn_with(self, words):
        """What is drawn from now on, until it has these words."""
        self.seek(0)
        self.truncate()
        until = time.monotonic() + 10
        while words not in self.getvalue():
            assert time.monotonic() < until
            time.sleep(0.02)
        return self.getvalue()


def test_the_first_findings_are_shown_under_the_bar_until_the_end():
    screen = Screen()
    with Bars(load("fr"), screen.system()) as shown:
        shown.run(Update.from_message(progress(80, preview=[FOUND])))
        assert "\x1b[31m au" not in screen.drawn_with("au mauvais endroit")
        shown.run(Update.from_message(terminal()))
        assert "au mauvais endroit" not in screen.drawn_with("terminée")


def test_a_broken_connection_is_shown_on_the_bar():
    screen = Screen()
    with Bars(load("en"), screen.system()) as shown:
        shown.upload(1, 2)
        shown.broken(Unavailable("UNAVAILABLE", "x"))
        assert "Upload" not in screen.drawn_with("reconnecting")
        shown.broken(None)
        assert "reconnecting" not in screen.drawn_with("Upload")


def test_json_has_the_preview(facnet, fake):
    fake.watches = [[progress(80, preview=[FOUND]), terminal()]]
    first, last = [json.loads(line) for line in facnet("watch", RUN_ID, "--json").stdout.splitlines()]
    assert [(found["rule_id"], found["record_number"]) for found in first["preview"]] == [("office_fee", 1234)]
    assert last["preview"] == []
