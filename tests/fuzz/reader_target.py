"""What must hold for any bytes at all: they are read or refused with a reason, and no line is lost."""

from __future__ import annotations

import io
import re

from facnet_grpc.errors import TerminalError
from facnet_grpc.ingest.options import ReadOptions
from facnet_grpc.ingest.reader import open_claims

HEADER = b"Date de Service;Code;Montant Preliminaire;Doctor Info;Patient;Lieu de pratique\r\n"
LINE = b"2025-02-26;15804;49,15;1234567-00001 | Roi, Zoe - Omni;ROIZ75520112 - ROI, ZOE;51234\r\n"
BLOCKS = (7, 64, 1000, 1 << 20)
_WITH_HEADER = 0x80
_BREAK = re.compile(r"\r\n|\r|\n")


def check(data: bytes) -> None:
    """Read `data`, whose first byte says how: size of the blocks, and whether a good header and line come first."""
    if not data:
        return
    how, raw = data[0], data[1:]
    if how & _WITH_HEADER:
        raw = HEADER + LINE + raw
    options = ReadOptions(block_bytes=BLOCKS[how % len(BLOCKS)], max_expanded_bytes=1 << 20)
    try:
        with open_claims(lambda: io.BytesIO(raw), len(raw), options) as file:
            batches = list(file.batches())
    except TerminalError:
        return
    accepted = sum(batch.lines.num_rows for batch in batches)
    rejected = sum(sum(batch.rejected_counts.values()) for batch in batches)
    blank = sum(batch.blank_rows for batch in batches)
    assert batches[-1].rows_parsed == accepted + rejected
    assert min(batch.blank_rows for batch in batches) >= 0
    assert sum(batch.rejected.num_rows for batch in batches) == min(rejected, 1000)
    if file.format.compression is None:
        _account(_text(raw, file.format.encoding), file.format.header_line, accepted + rejected + blank)


def _account(text: str, header_line: int, told: int) -> None:
    """Compare with the lines below the header. A quote may hold a line break: then there are fewer rows than lines."""
    lines = len(_BREAK.findall(text)) + (not text.endswith(("\r", "\n"))) - header_line
    assert told <= lines
    if '"' not in text:
        assert told == lines


def _text(raw: bytes, label: str) -> str:
    encoding, has_bom = label.split(maxsplit=1)[0], label.endswith("BOM")
    text = raw.decode(encoding if encoding.startswith("utf-16") else "latin-1", "replace")
    return (text[1:] if has_bom and encoding.startswith("utf-16") else text).replace("\0", "")
