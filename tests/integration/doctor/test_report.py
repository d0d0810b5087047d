"""`facnet doctor` says a line for each check; what drivers have to say besides is not for whoever asks."""

import json
import logging

import pytest

from facnet_grpc import __main__
from facnet_grpc.doctor import examination
from facnet_grpc.doctor.finding import Finding


@pytest.fixture(autouse=True)
def _level():
    logger = logging.getLogger("psycopg")
    level = logger.level
    yield
    logger.setLevel(level)


def test_each_check_says_one_line_whatever_drivers_have_to_say(tmp_path, monkeypatch, capsys, caplog):
    def examine(_settings, _server):
        logging.getLogger("psycopg.pool").warning("error connecting to %s", "somewhere")
        yield Finding("postgres", ok=False, code="postgres_away")
        yield Finding("tokens", ok=True, code="tokens_ok", value="2")

    told = {"DATABASE_URL": "x", "REDIS_URL": "x", "FACNET_BLOB_DIR": str(tmp_path)}
    for name, value in (told | {"FACNET_PSEUDONYM_KEY": "x" * 32, "FACNET_BLOB_KEY": "x" * 32}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(examination, "examine", examine)
    assert __main__.main(["doctor", "--json"]) == __main__.FAILED
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["check"], line["ok"]) for line in said] == [("postgres", False), ("tokens", True)]
    assert caplog.records == []
