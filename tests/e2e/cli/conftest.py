"""A whole stack, started once, and `facnet` against it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from facnet_process import SAMPLE, WEBHOOK_KEY, run_facnet

_STACK = ("-m", "facnet_grpc", "dev", "--ephemeral", "--announce", "json", "--until-stdin-closes")


@pytest.fixture(scope="session")
def stack_environment():
    """What stacks are told; on servers that others use they make databases of their own."""
    return {**os.environ, "FACNET_WEBHOOK_KEYS": f"k1:{WEBHOOK_KEY}"}


@pytest.fixture(scope="session")
def stack_target(tmp_path_factory, stack_environment):
    """The address of a stack that lives as long as the tests."""
    log = tmp_path_factory.mktemp("stack") / "log"
    with log.open("wb") as stderr:
        child = subprocess.Popen(
            [sys.executable, *_STACK],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,
            env=stack_environment,
        )
        line = child.stdout.readline()
        assert line, log.read_text()
        yield json.loads(line)["target"]
        child.stdin.close()
        child.stdout.close()
        assert child.wait(60) == 0, log.read_text()


@pytest.fixture(scope="session")
def facnet_once(stack_target):
    """`facnet` for fixtures that outlive a test."""

    def run(*arguments, **more):
        return run_facnet(*arguments, **{"FACNET_SERVER": stack_target, **more})

    return run


@pytest.fixture
def facnet(facnet_once):
    return facnet_once


@pytest.fixture(scope="session")
def completed(stack_target):
    """The id of a run of the sample that is done."""
    ended = run_facnet("submit", "--watch", "--json", "--batch", "sample", SAMPLE, FACNET_SERVER=stack_target)
    assert ended.code == 0, ended.err
    return ended.json["validation"]["validation_id"]
