"""No cell of a file is in an error: not in its text, not in its parameters, not in what led to it."""

import gzip
import logging
import traceback
from io import BytesIO

import pyarrow as pa
import pytest
from claim_files import HEADER, line, read_bytes

from facnet_grpc.errors import FacnetError
from facnet_grpc.ingest.blocks import BlockReader
from facnet_grpc.ingest.dialect import sniff
from facnet_grpc.ingest.encoding import Encoding
from facnet_grpc.ingest.options import ReadOptions
from facnet_grpc.ingest.source import Stream

CANARY = "Xanadu7552"


def everything_of(error: BaseException) -> str:
    seen = []
    while error:
        seen += [str(error), repr(error), repr(vars(error)), *traceback.format_exception_only(error)]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return " ".join(seen)


def outcome(raw: bytes, **options) -> str:
    """Read a file that may do or not, and return all that its error says."""
    try:
        read_bytes(raw, **options)
    except FacnetError as error:
        return everything_of(error)
    return ""


BAD_LINES = [line(**{cell: CANARY}) for cell in ("date", "code", "amount", "doctor", "patient", "place")]
FILES = [
    f"{CANARY};{CANARY}\n{CANARY}",
    f"{HEADER};{CANARY};CODE\n" + "\n".join(BAD_LINES),
    f"Code;Patient;Facture;{CANARY}\n{CANARY};;;\n",
    f"Code;Patient;Facture;Date {CANARY}\n{CANARY};;;\n",
    f"{HEADER}\n" + line(date=f"01-02-2025 {CANARY}") + "\n" + line(date="01-02-2025"),
    f"{HEADER}\n" + "\n".join([*BAD_LINES, CANARY, f'"{CANARY}', line() + CANARY]),
]


@pytest.mark.parametrize("text", FILES)
@pytest.mark.parametrize(
    "options", [{}, {"encoding_hint": "utf-16"}, {"encoding_hint": "utf-8"}, {"encoding_hint": "nope"}]
)
def test_errors_hold_no_cells(text, options, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    for raw in (text.encode("cp1252"), text.encode("utf-8") + b"\xff", gzip.compress(text.encode())[:-9]):
        assert CANARY not in outcome(raw, **options)
    assert CANARY not in caplog.text
    assert CANARY not in "".join(capfd.readouterr())


def test_an_error_of_the_parser_is_not_passed_on():
    def read_csv(*_):
        raise pa.ArrowInvalid(f"CSV parse error: {CANARY}")

    raw = f"{HEADER}\n{line()}\n{CANARY};b\n".encode()
    reader = BlockReader(sniff(raw, None), Encoding("utf-8"), ("code",), read_csv=read_csv)
    with Stream(lambda: BytesIO(raw), len(raw), ReadOptions()) as stream, pytest.raises(FacnetError) as caught:
        list(reader.read(stream, len(raw)))
    assert CANARY not in everything_of(caught.value)
    assert caught.value.__suppress_context__
