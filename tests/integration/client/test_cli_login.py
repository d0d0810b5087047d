"""Tokens on the command line and in the client: where they come from, where they go, and where they never do."""

from __future__ import annotations

import json
import stat
from types import SimpleNamespace

import grpc
import pytest
from fake_server import rich_status
from typer.testing import CliRunner

from facnet_cli.app import build_app
from facnet_cli.errors import ExitCode
from facnet_cli.texts import load
from facnet_client import FacnetClient, Refused
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb2

TOKEN = "eyJ.canary.token"


@pytest.fixture(name="seen")
def _seen(fake):
    """The tokens that the server is called with."""
    seen = []

    def answer(_request, context):
        seen.append(dict(context.invocation_metadata()).get("authorization"))
        if seen[-1] not in {f"Bearer {TOKEN}", "Bearer other"}:
            context.abort_with_status(
                rich_status(grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED", "Qui êtes-vous ?")
            )
        return pb2.ListValidationsResponse()

    fake.ListValidations = answer
    return seen


@pytest.fixture(name="run")
def _run(target, tmp_path, monkeypatch):
    for name in ("FACNET_TOKEN", "FACNET_TOKEN_FILE", "FACNET_TLS", "FACNET_CA", "FACNET_CERT", "FACNET_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    kept = tmp_path / "config" / "facnet" / "tokens.json"

    def run(*arguments, typed="", server=target, **env):
        result = CliRunner().invoke(
            build_app(load("en")), ["--server", server, *arguments], input=typed, env=env or None
        )
        assert "canary" not in result.output + result.stderr
        return SimpleNamespace(code=result.exit_code, out=result.output + result.stderr)

    run.kept = kept
    return run


def test_a_login_is_kept_for_its_server_in_a_file_of_the_users_own(run, seen, target):
    said = run("login", typed=f"{TOKEN}\n")
    assert said.code == ExitCode.OK, said.out
    assert json.loads(run.kept.read_text()) == {target: TOKEN}
    assert stat.S_IMODE(run.kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(run.kept.parent.stat().st_mode) == 0o700
    assert run("list").code == ExitCode.OK
    assert seen == [f"Bearer {TOKEN}"] * 2
    assert run("list", server=target.replace("127.0.0.1", "localhost")).code == ExitCode.REFUSED
    assert seen[-1] is None
    assert run("logout").code == ExitCode.OK
    assert json.loads(run.kept.read_text()) == {}
    assert run("list").code == ExitCode.REFUSED


def test_a_token_that_the_server_refuses_is_not_kept(run, seen):
    assert run("login", typed="wrong\n").code == ExitCode.REFUSED
    assert not run.kept.exists()


@pytest.mark.parametrize("typed", ["", "\n", "two words\n", "é\n", "x" * 20_000, "a\nb\n"])
def test_what_is_no_token_is_not_sent(run, seen, typed):
    assert run("login", typed=typed).code == ExitCode.USAGE
    assert seen == []


def test_a_file_comes_before_the_variable_and_that_before_the_login(run, seen, tmp_path):
    run("login", typed=TOKEN)
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    assert run("list", FACNET_TOKEN="other").code == ExitCode.OK
    assert run("list", "--token-file", str(tmp_path / "token"), FACNET_TOKEN="other").code == ExitCode.OK
    assert run("list", FACNET_TOKEN_FILE=str(tmp_path / "token")).code == ExitCode.OK
    assert seen[1:] == ["Bearer other", f"Bearer {TOKEN}", f"Bearer {TOKEN}"]
    assert run("login", "--token-file", str(tmp_path / "token")).code == ExitCode.OK
    assert run("list", "--token-file", str(tmp_path / "missing")).code == ExitCode.BAD_INPUT


def test_tokens_that_others_may_read_are_not_used(run, seen):
    run("login", typed=TOKEN)
    run.kept.chmod(0o640)
    said = run("list")
    assert said.code == ExitCode.CONFIGURATION
    assert "chmod 600" in said.out
    run.kept.chmod(0o600)
    run.kept.write_text("{")
    assert run("list").code == ExitCode.CONFIGURATION
    assert len(seen) == 1


def test_there_is_no_option_that_takes_a_token(run):
    assert run("list", "--token", TOKEN.replace("canary", "x")).code == ExitCode.USAGE


def test_a_token_never_goes_to_another_machine_in_the_clear(run):
    said = run("list", server="203.0.113.1:50051", FACNET_TOKEN=TOKEN)
    assert said.code == ExitCode.REFUSED
    assert "TOKEN_NEEDS_TLS" in said.out
    with pytest.raises(Refused, match="TOKEN_NEEDS_TLS"):
        FacnetClient("facnet.example:443", token=lambda: TOKEN)
    FacnetClient("facnet.example:443", token=TOKEN, tls=True).close()


def test_a_certificate_without_its_key_is_refused(run, tmp_path):
    (tmp_path / "cert").touch()
    assert run("list", "--cert", str(tmp_path / "cert")).code == ExitCode.USAGE
    with pytest.raises(ValueError, match="go together"):
        FacnetClient("localhost:1", key=tmp_path / "cert")


def test_a_token_may_be_renewed_between_calls_and_does_not_show(target, seen):
    tokens = iter([TOKEN, "other"])
    with FacnetClient(target, token=lambda: next(tokens)) as client:
        list(client.list())
        list(client.list())
        assert "canary" not in repr(vars(client))
    assert seen == [f"Bearer {TOKEN}", "Bearer other"]
