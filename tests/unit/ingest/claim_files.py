"""Small claim files, and the reader's answer put together."""

import io
from collections import Counter
from types import SimpleNamespace

import pytest

from facnet_grpc.errors import TerminalError
from facnet_grpc.ingest.options import ReadOptions
from facnet_grpc.ingest.reader import open_claims

HEADER = "Date de Service;Code;Montant Preliminaire;Doctor Info;Patient;Lieu de pratique"
LINE = "2025-02-26;15804;49,15;1234567-00001 | Béla, Zoé - Médecine familiale  ;BELZ75520112 - BÉLA, ZOÉ;51234"


def read_bytes(raw: bytes, **options):
    """Read a file and return what was found, all lines as dictionaries, rejects, counts, defects and batches."""
    with open_claims(lambda: io.BytesIO(raw), len(raw), ReadOptions(**options)) as file:
        batches = list(file.batches())
    counts, defects = Counter(), Counter()
    for batch in batches:
        counts.update(batch.rejected_counts)
        defects.update(batch.defects)
    return SimpleNamespace(
        format=file.format,
        lines=[line for batch in batches for line in batch.lines.to_pylist()],
        rejected=[
            (row["record_number"], row["column_name"], row["reason"], row["raw"])
            for batch in batches
            for row in batch.rejected.to_pylist()
        ],
        counts=dict(counts),
        defects=dict(defects),
        batches=batches,
        rows=batches[-1].rows_parsed if batches else 0,
    )


def read_lines(*lines, header=HEADER, encoding="cp1252", end="\r\n", **options):
    """Read a file of the usual header, or another one, and these lines."""
    return read_bytes("".join(line + end for line in (header, *lines)).encode(encoding), **options)


def line(**cells):
    """Make a line: the usual cells, some of them replaced."""
    names = ("date", "code", "amount", "doctor", "patient", "place")
    usual = dict(zip(names, LINE.split(";"), strict=True))
    return ";".join((usual | cells).values())


def reason_of(raw: bytes, **options):
    """Return the error that a file ends with."""
    with pytest.raises(TerminalError) as caught:
        read_bytes(raw, **options)
    return caught.value
