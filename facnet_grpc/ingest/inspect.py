"""What a local file looks like, for somebody who wonders why it is refused: nothing in it can be read any more."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facnet_grpc.errors import TerminalError
from facnet_grpc.ingest.options import ReadOptions
from facnet_grpc.ingest.probe import read_probe
from facnet_grpc.ingest.reader import Found, open_claims

_LONGEST_SHOWN = 400


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found; either `found` or `error` is there."""

    size_bytes: int
    found: Found | None
    error: TerminalError | None
    encoding: str | None
    """None if not even that could be found."""
    first_lines: tuple[str, ...]
    """The first lines, the header too: letters as A or a, digits as 9, cut to 400 characters."""


def inspect_file(path: Path, options: ReadOptions = ReadOptions(), *, lines: int = 5) -> Inspection:  # noqa: B008 - frozen
    """Look at a file. Only what opening or reading it raises is raised (OSError); errors of the file are returned."""
    size = path.stat().st_size

    def inspection(found: Found | None, error: TerminalError | None, encoding: str | None, text: bytes) -> Inspection:
        shown = tuple(mask(line[:_LONGEST_SHOWN]) for line in text.decode("utf-8", "replace").splitlines()[:lines])
        return Inspection(size, found, error, encoding, shown)

    try:
        probe = read_probe(lambda: path.open("rb"), size, options)
    except TerminalError as error:
        return inspection(None, error, None, b"")
    try:
        with open_claims(lambda: path.open("rb"), size, options) as file:
            return inspection(file.found, None, probe.encoding.label, probe.text)
    except TerminalError as error:
        return inspection(None, error, probe.encoding.label, probe.text)


def mask(text: str) -> str:
    """Return the text with every letter as A or a and every digit as 9."""
    return "".join(_masked(letter) for letter in text)


def _masked(letter: str) -> str:
    if letter.isalpha():
        return "A" if letter.isupper() else "a"
    return "9" if letter.isnumeric() else letter
