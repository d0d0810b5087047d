"""One stack for all of the chaos tests, and a look at what was left behind after each."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from chaos_bench import Bench
from chaos_client import logs_of
from chaos_deleted import of_nobody
from chaos_receiver import ALLOWED
from chaos_stack import ChaosStack
from chaos_truth import cleans_up, unended


@pytest.fixture(scope="session")
def _bench() -> Iterator[Bench]:
    with (
        tempfile.TemporaryDirectory(prefix="facnet-chaos-", ignore_cleanup_errors=True) as name,
        ChaosStack(Path(name), **ALLOWED) as stack,
    ):
        yield Bench(stack)


@pytest.fixture
def bench(_bench: Bench, request: pytest.FixtureRequest) -> Iterator[Bench]:
    """A bench whose stack works; afterwards all runs have ended and nothing is left behind."""
    _bench.stack.disarm()
    _bench.stack.wait_until_serving()
    _bench.stack.redis.flushall()  # or jobs of workers that earlier tests killed would come back during this one
    failed = request.session.testsfailed
    yield _bench
    _bench.stack.disarm()
    if request.session.testsfailed > failed:
        print(logs_of(_bench.stack.directory))  # noqa: T201 - pytest shows it beside the failure
    assert unended(_bench.stack) == []
    assert of_nobody(_bench.stack) == []
    cleans_up(_bench.stack)
