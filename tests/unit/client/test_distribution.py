"""The client's own distribution promises what the whole does."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[3]
WHOLE = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CLIENT = tomllib.loads((ROOT / "clients" / "python" / "pyproject.toml").read_text())["project"]


def test_it_has_the_same_version_python_and_command():
    for field in ("version", "requires-python", "license", "scripts"):
        assert CLIENT[field] == WHOLE[field], field


def test_its_dependencies_are_those_of_the_base_install():
    needed = {*CLIENT["dependencies"], *CLIENT["optional-dependencies"]["cli"]}
    assert needed == set(WHOLE["dependencies"])


def test_the_library_alone_needs_nothing_of_the_command_line():
    assert not {one.partition(">")[0] for one in CLIENT["dependencies"]} & {"babel", "rich", "typer"}
