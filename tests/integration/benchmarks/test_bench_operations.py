"""`make bench-ops` in small: that it runs to its end, not what it measures."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.system
def test_every_figure_is_taken(postgres_url, redis_url):
    environment = {**os.environ, "DATABASE_URL": postgres_url, "REDIS_URL": redis_url, "FACNET_WORKER_PROCESSES": "1"}
    command = [sys.executable, "-m", "benchmarks.operations", "--quick"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    rows = [line.split(" | ") for line in lines if not line.startswith(("| figure", "| ---"))]
    assert len(rows) == 16, done.stdout
    told = {name.removeprefix("| "): value for name, value, *_ in rows}
    assert told["heard ÷ to be heard"].strip() == "1"
