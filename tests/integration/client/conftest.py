"""A fake server, a client of it that does not wait for long, and the command line."""

from __future__ import annotations

import pytest
from fake_server import Fake, serving
from typer.testing import CliRunner

from facnet_cli.app import build_app
from facnet_cli.texts import load
from facnet_client import FacnetClient, Retry

QUICK = Retry(connect=0.3, patience=0.6, first_delay=0.01, largest_delay=0.05)


@pytest.fixture
def fake():
    return Fake()


@pytest.fixture
def target(fake):
    with serving(fake) as target:
        yield target


@pytest.fixture
def client(target):
    with FacnetClient(target, retry=QUICK) as client:
        yield client


@pytest.fixture
def facnet(target):
    """Call `facnet` in this process, with the fake server as its server."""

    def call(*arguments, language="fr", stdin=None, system=None, **env):
        runner = CliRunner(env={"FACNET_SERVER": target, **env})
        result = runner.invoke(
            build_app(load(language), system), [str(argument) for argument in arguments], input=stdin
        )
        assert "Traceback" not in result.output
        assert "\x1b" not in result.output  # the output is not a terminal
        return result

    return call


@pytest.fixture
def claims(tmp_path):
    path = tmp_path / "claims.csv"
    path.write_bytes(b"a;b\n1;2\n")
    return path
