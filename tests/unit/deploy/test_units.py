"""The systemd units, as systemd itself understands them. Skipped where there is no `systemd-analyze`."""

import shutil
import subprocess
from pathlib import Path

import pytest

SUPERVISOR = Path(__file__).parents[3] / "deploy" / "supervisor"
OF_SYSTEMD = Path("/usr/lib/systemd/system")
UNITS = ("facnet-server.service", "facnet-worker@.service")
INSTANCES = ("facnet-server.service", "facnet-worker@1.service")
EXPOSURE = "15"  # tenths; 0 is a process that can do nothing, 96 one without any limits

pytestmark = pytest.mark.skipif(
    not shutil.which("systemd-analyze") or not OF_SYSTEMD.is_dir(), reason="systemd is not installed"
)


@pytest.fixture
def root(tmp_path):
    """A machine with the units where an administrator puts them."""
    shutil.copytree(OF_SYSTEMD, tmp_path / OF_SYSTEMD.relative_to("/"), symlinks=True)
    program = tmp_path / "opt" / "facnet" / "bin" / "facnet"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for unit in UNITS:
        drop_ins = tmp_path / "etc" / "systemd" / "system" / f"{unit}.d"
        drop_ins.mkdir(parents=True)
        shutil.copy(SUPERVISOR / unit, drop_ins.parent)
        shutil.copy(SUPERVISOR / "sandbox.conf", drop_ins)
    return tmp_path


def analyze(root, *words):
    command = ["systemd-analyze", f"--root={root}", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("unit", INSTANCES)
def test_nothing_in_a_unit_is_unknown_or_out_of_place(root, unit):
    done = analyze(root, "--man=no", "verify", unit)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("unit", INSTANCES)
def test_a_service_can_do_little_beside_its_work(root, unit):
    done = analyze(root, "--offline=true", f"--threshold={EXPOSURE}", "security", unit)
    assert done.returncode == 0, done.stdout[-2000:]


def test_a_mistake_would_be_seen(root):
    unit = root / "etc" / "systemd" / "system" / UNITS[0]
    unit.write_text(unit.read_text().replace("NoNewPrivileges", "NoNewPrivilege"))
    assert "Unknown key" in analyze(root, "--man=no", "verify", UNITS[0]).stderr
    drop_in = unit.parent / f"{UNITS[0]}.d" / "sandbox.conf"
    drop_in.unlink()
    assert analyze(root, "--offline=true", f"--threshold={EXPOSURE}", "security", UNITS[0]).returncode != 0
