"""The command line page: what `facnet … --help` says, of every command, in English."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from docs_markdown import anchor, head

COLUMNS = 100
# What would change the look of the help from one machine to the other.
ENVIRONMENT: Mapping[str, str] = {
    "COLUMNS": str(COLUMNS),
    "NO_COLOR": "1",
    "TERM": "dumb",
    "LANG": "en_CA.UTF-8",
    "LC_ALL": "en_CA.UTF-8",
    "PYTHONUTF8": "1",
}
_PANEL = re.compile(r"^╭─ (.+?) ─+╮$")
_COMMAND = re.compile(r"^│ ([a-z][a-z0-9-]*)(?: |$)")
NO_COMMANDS = ("Options", "Arguments")


def page() -> str:
    """Return the page. Raises `CalledProcessError` if the program does not run."""
    pages = dict(_pages(()))
    lines = head("The command line", "`facnet --help`")
    lines += [f"- [{name}]({anchor(name)})" for name in pages]
    for name, text in pages.items():
        lines += ["", f"## {name}", "", "```text", text, "```"]
    return "\n".join(lines)


def _pages(command: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    text = _help(command)
    yield " ".join(("facnet", *command)), text
    for name in subcommands(text):
        yield from _pages((*command, name))


def subcommands(text: str) -> list[str]:
    """Return the commands that a help text lists."""
    names, inside = [], False
    for line in text.splitlines():
        if panel := _PANEL.match(line):
            inside = panel[1] not in NO_COMMANDS
        elif inside and (command := _COMMAND.match(line)):
            names.append(command[1])
    return names


def _help(command: tuple[str, ...]) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FACNET_", "LC_"))}
    text = subprocess.run(  # noqa: S603 - our own program
        [Path(sys.executable).parent / "facnet", *command, "--help"],
        env={**kept, **ENVIRONMENT},
        check=True,
        capture_output=True,
        encoding="utf-8",
    ).stdout
    return "\n".join(line.rstrip() for line in text.strip().splitlines())
