"""Inspects a local file without a server: its format and its first lines, masked, as text or as one JSON object."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from facnet_grpc.errors import TerminalError
from facnet_grpc.ingest.options import ReadOptions
from facnet_grpc.ingest.reader import FileFormat, open_claims, read_probe
from facnet_grpc.texts.catalogue import size
from facnet_grpc.texts.language import Locale
from facnet_grpc.texts.render import column_name, error_text, sentence
from facnet_grpc.texts.values import number

_LONGEST_SHOWN = 400


@dataclass(frozen=True, slots=True)
class Inspection:
    """The format and first lines of a file; either `format` or `error` is there."""

    size_bytes: int
    format: FileFormat | None
    error: TerminalError | None
    encoding: str | None
    """None if not even that could be found."""
    first_lines: tuple[str, ...]
    """The first lines, the header too: letters as A or a, digits as 9, cut to 400 characters."""


def inspect_file(path: Path, options: ReadOptions = ReadOptions(), *, lines: int = 5) -> Inspection:  # noqa: B008 - frozen
    """Look at a file. Only what opening or reading it raises is raised (OSError); errors of the file are returned."""
    size = path.stat().st_size

    def result(found: FileFormat | None, error: TerminalError | None, encoding: str | None, text: bytes) -> Inspection:
        shown = tuple(mask(line[:_LONGEST_SHOWN]) for line in text.decode("utf-8", "replace").splitlines()[:lines])
        return Inspection(size, found, error, encoding, shown)

    try:
        probe = read_probe(lambda: path.open("rb"), size, options)
    except TerminalError as error:
        return result(None, error, None, b"")
    try:
        with open_claims(lambda: path.open("rb"), size, options) as file:
            return result(file.format, None, probe.encoding.label, probe.text)
    except TerminalError as error:
        return result(None, error, probe.encoding.label, probe.text)


def mask(text: str) -> str:
    """Return the text with every letter as A or a and every digit as 9."""
    return "".join(_masked(letter) for letter in text)


def _masked(letter: str) -> str:
    if letter.isalpha():
        return "A" if letter.isupper() else "a"
    return "9" if letter.isnumeric() else letter


def as_json(inspection: Inspection, locale: Locale) -> str:
    """Return an inspection as one JSON object."""
    error = inspection.error and error_text(inspection.error, locale)
    return json.dumps(
        {
            "size_bytes": inspection.size_bytes,
            "encoding": inspection.encoding,
            **(asdict(inspection.format) if inspection.format else {}),
            "first_lines": inspection.first_lines,
            "error": error and inspection.error and {"code": inspection.error.reason.value, **asdict(error)},
        },
        ensure_ascii=False,
    )


def as_text(inspection: Inspection, locale: Locale) -> Iterator[str]:
    """Return an inspection line by line."""
    facts = {"size": size(inspection.size_bytes, locale)}
    if inspection.encoding:
        facts["encoding"] = inspection.encoding
    if inspection.format:
        facts |= _facts(inspection.format, locale)
    for name, value in facts.items():
        yield sentence("inspect.line", locale, name=sentence(f"inspect.{name}", locale), value=value)
    if inspection.first_lines:
        yield sentence("inspect.first_lines", locale)
        yield from (f"    {line}" for line in inspection.first_lines)
    if inspection.error:
        text = error_text(inspection.error, locale)
        yield f"✗ {text.message} {text.cure}"


def _facts(file_format: FileFormat, locale: Locale) -> dict[str, str]:
    facts = {
        "compression": file_format.compression or "",
        "delimiter": sentence("inspect.tab", locale) if file_format.delimiter == "\t" else file_format.delimiter,
        "decimal_mark": file_format.decimal_mark,
        "date_format": file_format.date_format,
        "header_line": number(file_format.header_line, locale),
        "columns": ", ".join(
            f"{column_name(column, locale)} ({header})" for column, header in file_format.columns.items()
        ),
        "missing_wanted": ", ".join(column_name(column, locale) for column in file_format.missing_wanted),
        "ignored_columns": number(file_format.ignored_columns, locale) if file_format.ignored_columns else "",
    }
    return {name: value for name, value in facts.items() if value}
