"""Write sample files of any length, block after block, in memory that does not grow with the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from typing import BinaryIO

import numpy as np

from facnet_grpc.sample import cells, sheets
from facnet_grpc.sample.acts import Draw
from facnet_grpc.sample.cells import USUAL, SampleDialect
from facnet_grpc.sample.lines import Lines, expand

_SHEETS_PER_BLOCK = 1500  # about 30,000 lines


def write_sample(
    rows: int,
    out: BinaryIO | Path,
    *,
    seed: int = 1,
    dialect: SampleDialect = USUAL,
    bad_share: float = 0.0,
) -> None:
    """Write a claim file of `rows` lines; the same arguments give the same bytes.

    `bad_share` of the lines (0 to 1) have an impossible date, an unreadable amount or too few fields.
    """
    with ExitStack() as stack:
        file = stack.enter_context(out.open("wb")) if isinstance(out, Path) else out
        file.write(dialect.bom + dialect.encode(cells.header_line(dialect)))
        draw = Draw(seed)
        for lines in _blocks(draw, rows):
            file.write(dialect.encode(cells.render(draw, lines, dialect, bad_share)))


def _blocks(draw: Draw, rows: int) -> Iterator[Lines]:
    written = 0
    sheet = 0
    while written < rows:
        numbers = np.arange(sheet, sheet + _SHEETS_PER_BLOCK)
        lines = expand(draw, sheets.plan(draw, numbers), written)
        yield _first(lines, rows - written)
        written += len(lines.number)
        sheet += _SHEETS_PER_BLOCK


def _first(lines: Lines, count: int) -> Lines:
    return Lines(**{field.name: getattr(lines, field.name)[:count] for field in fields(Lines)})
