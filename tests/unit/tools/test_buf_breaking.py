"""A change that breaks callers is found without a network, a tag or a history."""

import shutil
from pathlib import Path

import buf_breaking
import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(name="project")
def _project(tmp_path):
    shutil.copytree(ROOT / "protos", tmp_path / "protos")
    shutil.copy(ROOT / "buf.yaml", tmp_path)
    return tmp_path


@pytest.fixture(name="baseline")
def _baseline(project):
    path = project / "baseline.binpb"
    assert buf_breaking.accept(project, path) == 0
    return path


def _edit(project, name, before, after):
    path = project / "protos" / "facnet" / "v1" / name
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def test_nothing_changed(project, baseline):
    assert buf_breaking.check(project, baseline) == 0


def test_something_added(project, baseline):
    _edit(project, "money.proto", "int32 nanos = 3;", "int32 nanos = 3;\n  // More.\n  string more = 4;")

    assert buf_breaking.check(project, baseline) == 0


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("money.proto", "int32 nanos = 3;", "int32 nanos = 4;"),
        ("money.proto", "int32 nanos = 3;", "int64 nanos = 3;"),
        ("validation.proto", "VALIDATION_STATUS_FAILED = 4;", "VALIDATION_STATUS_BROKEN = 4;"),
        (
            "validation_service.proto",
            "rpc GetUpload(GetUploadRequest) returns (GetUploadResponse);",
            "",
        ),
    ],
)
def test_something_broken(project, baseline, name, before, after, capfd):
    _edit(project, name, before, after)

    assert buf_breaking.check(project, baseline) != 0
    assert name in "".join(capfd.readouterr())


def test_no_baseline_is_no_pass(project):
    assert buf_breaking.check(project, project / "none.binpb") != 0


def test_arguments(monkeypatch):
    monkeypatch.setattr(buf_breaking, "accept", lambda *_: 7)
    monkeypatch.setattr(buf_breaking, "check", lambda *_: 8)

    assert (buf_breaking.main(["--accept"]), buf_breaking.main([])) == (7, 8)
