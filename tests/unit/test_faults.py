"""Fault points: nothing in production, and exactly those that are named, once each."""

import ast
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import pytest

from facnet_grpc import faults
from facnet_grpc.errors import TransientError
from facnet_grpc.faults import Fault

ROOT = Path(__file__).parents[2]
POINT = "worker.copy.mid"
REACH = f"from facnet_grpc import faults; faults.point({POINT!r}); print('went on')"


@pytest.fixture
def armed(monkeypatch, tmp_path):
    def arm(plan):
        monkeypatch.setattr(faults, "_PLAN", plan)
        monkeypatch.setattr(faults, "_STATE", str(tmp_path / "hits"))
        return tmp_path / "hits"

    return arm


def reach(plan, hits, code=REACH):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FACNET_")}
    if plan is not None:
        environment |= {"FACNET_FAULTS": plan, "FACNET_FAULTS_STATE": str(hits)}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)


def test_nothing_happens_when_the_variable_is_not_set(tmp_path):
    every = (
        f"from facnet_grpc import faults; [faults.point(name) for name in {sorted(faults.POINTS)}]; print('went on')"
    )

    done = reach(None, tmp_path / "hits", every)

    assert (done.returncode, done.stdout, done.stderr) == (0, "went on\n", "")
    assert list(tmp_path.iterdir()) == []


def test_setting_the_variable_later_changes_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("FACNET_FAULTS", f"{POINT}=kill@1+")
    monkeypatch.setenv("FACNET_FAULTS_STATE", str(tmp_path / "hits"))

    faults.point(POINT)

    assert list(tmp_path.iterdir()) == []


def test_a_process_that_breaks_on_purpose_says_so(tmp_path):
    done = reach("", tmp_path / "hits")
    assert done.stderr == ""

    done = reach(f"{POINT}=note", tmp_path / "hits")
    assert done.stdout == "went on\n"
    assert "on purpose" in done.stderr


def test_kill_once_is_once_over_all_processes(tmp_path):
    hits = tmp_path / "hits"

    ends = [reach(f"{POINT}=kill@2", hits).returncode for _ in range(4)]

    assert ends == [0, -signal.SIGKILL, 0, 0]
    assert [line.split()[0] for line in hits.read_text().splitlines()] == [POINT] * 4


def test_exit_ends_the_process_without_cleaning_up(tmp_path):
    code = f"import atexit; atexit.register(print, 'cleaned up'); {REACH}"

    done = reach(f"{POINT}=exit", tmp_path / "hits", code)

    assert (done.returncode, done.stdout) == (1, "")


def test_errors_are_raised_from_a_certain_time_on(armed):
    armed(f"{POINT}=raise:transient@2+")

    faults.point(POINT)
    for _ in range(2):
        with pytest.raises(TransientError):
            faults.point(POINT)


def test_other_points_are_neither_broken_nor_counted(armed):
    hits = armed(f"{POINT}=raise:transient@1+")

    faults.point("worker.copy.done")

    assert not hits.exists()


def test_sleep_lets_the_thread_wait(armed, monkeypatch):
    slept = []
    monkeypatch.setattr(faults, "time", SimpleNamespace(sleep=slept.append))
    armed(f"{POINT}=sleep:1.5")

    faults.point(POINT)

    assert slept == [1.5]


def test_hold_lets_the_thread_wait_until_the_plan_changes(armed, tmp_path):
    plan = tmp_path / "plan"
    plan.write_text(f"{POINT}=hold")
    hits = armed(f"@{plan}")
    held = Thread(target=faults.point, args=(POINT,), daemon=True)

    held.start()
    while not (hits.exists() and hits.read_text()):
        time.sleep(0.001)
    held.join(0.1)
    assert held.is_alive()
    plan.unlink()
    held.join(10)

    assert not held.is_alive()


def test_a_plan_in_a_file_may_change_and_may_be_missing(armed, tmp_path):
    plan = tmp_path / "plan"
    armed(f"@{plan}")
    faults.point(POINT)

    plan.write_text(f"{POINT}=raise:transient")
    with pytest.raises(TransientError):
        faults.point(POINT)


def test_plans_are_read():
    assert faults.parse("") == ()
    assert faults.parse(f" {POINT}=kill@2 ; server.upload.synced=sleep:0.5;worker.claim.after=stop@3+;") == (
        Fault(POINT, "kill", 2),
        Fault("server.upload.synced", "sleep:0.5"),
        Fault("worker.claim.after", "stop", 3, onward=True),
    )


@pytest.mark.parametrize(
    "plan", ["nowhere=kill", f"{POINT}=explode", POINT, f"{POINT}=kill@", f"{POINT}=raise:anything"]
)
def test_a_plan_with_a_mistake_is_refused(plan):
    with pytest.raises(ValueError, match="not a fault"):
        faults.parse(plan)


def test_every_point_is_in_the_code_once_and_no_other():
    used = Counter()
    for package in ("facnet_grpc", "workers"):
        for path in (ROOT / package).rglob("*.py"):
            if "gen" not in path.parts:
                used.update(_points(ast.parse(path.read_text())))

    assert used == Counter(faults.POINTS.keys())


def _points(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "point":
            assert isinstance(node.args[0], ast.Constant), "the name of a point is written out"
            yield node.args[0].value


def test_every_point_is_in_the_table_of_the_page_about_them():
    rows = re.findall(r"^\| `((?:server|worker|reconciler|retention)\.[a-z_.]+)` \| (.+) \|$", _page(), re.MULTILINE)

    assert rows == list(faults.POINTS.items())


def _page():
    return (ROOT / "docs" / "chaos.md").read_text()
