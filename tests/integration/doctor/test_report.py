"""`facnet doctor` prints a line for each check; what drivers log besides is not for the operator."""

import json
import logging

import pytest

from facnet_grpc import __main__


@pytest.fixture(autouse=True)
def _level():
    logger = logging.getLogger("psycopg")
    level = logger.level
    yield
    logger.setLevel(level)


def test_each_check_says_one_line_whatever_drivers_have_to_say(tmp_path, monkeypatch, capsys, caplog):
    environment = {
        "DATABASE_URL": "postgresql://127.0.0.1:1/x",
        "REDIS_URL": "redis://127.0.0.1:1",
        "FACNET_BLOB_DIR": str(tmp_path),
        "FACNET_PSEUDONYM_KEY": "x" * 32,
        "FACNET_BLOB_KEY": "x" * 32,
        "FACNET_SERVER": "127.0.0.1:1",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert __main__.main(["doctor", "--json"]) == __main__.FAILED
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["check"], line["ok"]) for line in lines][:3] == [
        ("postgres", False),
        ("redis", False),
        ("blobs", True),
    ]
    assert all(line["text"] for line in lines)
    assert caplog.records == []
