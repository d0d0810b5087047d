"""What real files are like, one table of small files for each matter."""

import codecs
import gzip
import io
import random
from datetime import date, time

import pytest
import zstandard
from claim_files import HEADER, line, read_bytes, read_lines, reason_of

from facnet_grpc.errors import Reason, TerminalError
from facnet_grpc.ingest.options import ReadOptions
from facnet_grpc.ingest.reader import open_claims
from facnet_grpc.model.billing import BILLING_SCHEMA, REJECTED_SCHEMA


def test_a_usual_line():
    result = read_lines(line())
    (row,) = result.lines
    assert {key: value for key, value in row.items() if value is not None} == {
        "record_number": 1,
        "service_date": date(2025, 2, 26),
        "place": "51234",
        "code": "15804",
        "preliminary_cents": 4915,
        "doctor_key": "1234567",
        "doctor_name": "Béla, Zoé",
        "doctor_info": "1234567-00001 | Béla, Zoé - Médecine familiale",
        "patient_key": "BELZ75520112",
        "patient_name": "BÉLA, ZOÉ",
    }
    assert result.batches[0].lines.schema == BILLING_SCHEMA
    assert result.batches[0].rejected.schema == REJECTED_SCHEMA
    assert result.format.missing_wanted == ("paid_cents", "context", "units", "start_time", "end_time")
    assert (result.format.encoding, result.format.delimiter, result.format.header_line) == ("cp1252", ";", 1)
    assert result.format.columns["doctor_key"] == "Doctor Info"


@pytest.mark.parametrize(
    ("encoding", "bom", "found"),
    [
        ("cp1252", b"", "cp1252"),
        ("utf-8", b"", "utf-8"),
        ("utf-8", codecs.BOM_UTF8, "utf-8 with BOM"),
        ("utf-16-le", codecs.BOM_UTF16_LE, "utf-16-le with BOM"),
        ("utf-16-be", codecs.BOM_UTF16_BE, "utf-16-be with BOM"),
    ],
)
@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
def test_encodings_and_line_ends(encoding, bom, found, end):
    for last in ("", end):
        text = end.join([HEADER, line(), line()]) + last
        result = read_bytes(bom + text.encode(encoding))
        assert [row["patient_name"] for row in result.lines] == ["BÉLA, ZOÉ"] * 2
        assert result.format.encoding == found


def test_the_first_accent_may_come_late():
    plain = line(doctor="1234567-00001 | Bela, Zoe - X", patient="BELZ75520112 - BELA, ZOE")
    result = read_lines(*[plain] * 30_000, line(), block_bytes=1 << 16)
    assert result.format.encoding == "cp1252"
    assert result.lines[-1]["patient_name"] == "BÉLA, ZOÉ"


def test_bytes_that_cp1252_does_not_define_are_taken():
    raw = (HEADER + "\n" + line(patient="BELZ75520112 - B?LA") + "\n").encode("cp1252").replace(b"?", b"\x81\x80")
    result = read_bytes(raw)
    assert result.lines[0]["patient_name"] == "B\x81€LA"


@pytest.mark.parametrize(("hint", "name"), [("latin1", "É"), ("utf8", "Ã‰"), ("cp850", "╔"), ("CP1252", "É")])
def test_hints_win(hint, name):
    encoding = "utf-8" if hint == "utf8" else "cp1252"
    text = line(patient="BELZ75520112 - " + ("É" if hint != "utf8" else "Ã‰"))
    assert read_lines(text, encoding=encoding, encoding_hint=hint).lines[0]["patient_name"] == name


def test_utf_16_without_a_byte_order_mark_can_be_told():
    raw = f"{HEADER}\n{line()}\n".encode("utf-16-le")
    assert read_bytes(raw, encoding_hint="utf-16").lines[0]["patient_name"] == "BÉLA, ZOÉ"


def test_an_unknown_encoding_is_refused():
    assert reason_of(b"a;b\n", encoding_hint="klingon").reason is Reason.UNKNOWN_ENCODING
    assert reason_of(b"a;b\n", encoding_hint="rot13").reason is Reason.UNKNOWN_ENCODING


def test_bytes_that_mean_nothing_reject_their_line_only():
    clean = read_lines(line(), line(patient="\ufffd"), line(), encoding="utf-8", encoding_hint="utf-8")
    assert len(clean.lines) == 3

    raw = "\n".join([HEADER, line(), line(patient="XX"), line()]).encode().replace(b"XX", b"\xe9\xff")
    result = read_bytes(raw, encoding_hint="utf-8")
    assert [row["record_number"] for row in result.lines] == [1, 3]
    assert result.rejected[0][:3] == (2, None, "bad_encoding")
    assert "\ufffd" in result.rejected[0][3]


@pytest.mark.parametrize("delimiter", [";", ",", "\t", "|"])
def test_delimiters_inside_quotes(delimiter):
    cells = [f'"{cell}"' for cell in line(amount="1 049,15").split(";")]
    result = read_lines(delimiter.join(cells), header=HEADER.replace(";", delimiter))
    assert result.format.delimiter == delimiter
    assert result.lines[0]["preliminary_cents"] == 104915
    assert result.lines[0]["doctor_name"] == "Béla, Zoé"


def test_quoted_line_breaks_and_doubled_quotes():
    result = read_lines(line(doctor='"1234567-00001 | Béla, ""Zo\r\né"" - Méd"'), line())
    assert [row["record_number"] for row in result.lines] == [1, 2]
    assert result.lines[0]["doctor_name"] == 'Béla, "Zo\r\né"'


@pytest.mark.parametrize("block_bytes", [64, 1 << 20])
def test_a_quote_that_is_never_closed_costs_one_line(block_bytes):
    result = read_lines(line(), line(place='"51234'), *[line()] * 50, block_bytes=block_bytes)
    assert len(result.lines) == 51
    assert [row[:3] for row in result.rejected] == [(2, None, "unterminated_quote")]


@pytest.mark.parametrize(
    ("amount", "cents"),
    [
        ("47,05", 4705),
        ("47.05", 4705),
        ("1 234,50", 123450),
        ("1\u00a0234,50 $", 123450),
        ("-12,00", -1200),
        ("12", 1200),
        ("12,5", 1250),
        ("$12.00", 1200),
        ("(3,00)", -300),
        ("3,00-", -300),
        ("1.234,50", 123450),
        ("0", 0),
    ],
)
def test_amounts(amount, cents):
    assert read_lines(line(amount=amount), line(), line()).lines[0]["preliminary_cents"] == cents


def test_a_comma_groups_thousands_where_the_point_is_the_decimal_mark():
    result = read_lines(line(amount="1,234.50"), line(amount="1,234"), line(amount="47.05"))
    assert [row["preliminary_cents"] for row in result.lines] == [123450, 123400, 4705]
    assert result.format.decimal_mark == "."


@pytest.mark.parametrize("amount", ["1,2345", "12,345", "quarante", "1 23,00", "1e3", "--1", "٣", "9" * 30])
def test_bad_amounts(amount):
    result = read_lines(line(), line(amount=amount), encoding="utf-8")
    assert result.counts == {("bad_amount", "preliminary_cents"): 1}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2025-02-26", "%Y-%m-%d"),
        ("2025/02/26", "%Y/%m/%d"),
        ("26-02-2025", "%d-%m-%Y"),
        ("26/2/2025", "%d/%m/%Y"),
        ("02/26/2025", "%m/%d/%Y"),
        ("2025-02-26 00:00:00", "%Y-%m-%d %H:%M:%S"),
        ("2025-02-26T13:00:00.000", "%Y-%m-%d %H:%M:%S"),
    ],
)
def test_dates(text, found):
    result = read_lines(line(date=text))
    assert result.lines[0]["service_date"] == date(2025, 2, 26)
    assert result.format.date_format == found


@pytest.mark.parametrize("text", ["2025-02-30", "26-02-2025", "0025-02-26", "hier", "2025-02/26", "20250226"])
def test_bad_dates(text):
    assert read_lines(line(), line(), line(date=text)).counts == {("bad_date", "service_date"): 1}


def test_the_day_may_be_told_late():
    early, late = line(date="05-02-2025"), line(date="26-02-2025")
    result = read_lines(*[early] * 20_000, late, block_bytes=1 << 14)
    assert result.lines[0]["service_date"] == date(2025, 2, 5)


@pytest.mark.parametrize("dates", [("05-02-2025", "01-03-2025"), ("26-02-2025", "02-26-2025")])
def test_ambiguous_dates_are_refused(dates):
    with pytest.raises(TerminalError) as caught:
        read_lines(*[line(date=text) for text in dates])
    assert caught.value.reason is Reason.AMBIGUOUS_DATES


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("09:30", time(9, 30)),
        ("9:30", time(9, 30)),
        ("09:30:15", time(9, 30, 15)),
        ("0930", time(9, 30)),
        ("930", time(9, 30)),
        ("9h30", time(9, 30)),
        (" ", None),
    ],
)
def test_times(text, value):
    result = read_lines(line() + ";" + text, header=HEADER + ";Début")
    assert result.lines[0]["start_time"] == value
    assert result.defects == {}


@pytest.mark.parametrize("text", ["24:00", "9:60", "9:30:60", "midi", "12345"])
def test_a_bad_time_keeps_the_line_and_is_counted(text):
    result = read_lines(line() + ";" + text, header=HEADER + ";Fin")
    assert result.lines[0]["end_time"] is None
    assert result.defects == {"end_time": 1}


@pytest.mark.parametrize(
    ("cells", "column", "value"),
    [
        ({"code": "8857"}, "code", "08857"),
        ({"code": "#15804"}, "code", "15804"),
        ({"place": "918"}, "place", "00918"),
        ({"place": ""}, "place", None),
        ({"patient": ""}, "patient_key", None),
        ({"patient": "ABCDxxxx1234 - Lévesqué,  Zoé"}, "patient_key", "ABCDxxxx1234 LEVESQUE, ZOE"),
        ({"patient": "belz75520112"}, "patient_key", "BELZ75520112"),
        ({"patient": "BELZ 7552 0112 - BÉLA, ZOÉ"}, "patient_key", "BELZ75520112"),
        ({"patient": "BELZ75520112 - BÉLA, ZOÉ\u00a0"}, "patient_name", "BÉLA, ZOÉ"),
        ({"patient": "BELZ75520112 - BÉ-LA - X, ZOÉ"}, "patient_name", "BÉ-LA - X, ZOÉ"),
        ({"doctor": "1234567"}, "doctor_key", "1234567"),
        ({"doctor": "1234567-00001 | Béla-Roy, Zoé - Méd - Int"}, "doctor_name", "Béla-Roy, Zoé - Méd"),
    ],
)
def test_cells(cells, column, value):
    assert read_lines(line(**cells)).lines[0][column] == value


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("#G160, #AR", "G160,AR"), ("gap;#85", "GAP,85"), ("  ", None), ("#", None), ("a b\tc", "A,B,C")],
)
def test_context(text, tokens):
    result = read_lines(line() + f';"{text}"', header=HEADER + ";Élement de contexte")
    assert result.lines[0]["context"] == tokens


@pytest.mark.parametrize(
    ("cells", "cause"),
    [
        ({"code": "15 804"}, ("bad_code", "code")),
        ({"code": ""}, ("missing_required", "code")),
        ({"date": " "}, ("missing_required", "service_date")),
        ({"amount": ""}, ("missing_required", "preliminary_cents")),
        ({"doctor": "Zoé"}, ("missing_required", "doctor_key")),
        ({"date": "x", "code": "x", "amount": "x"}, ("bad_date", "service_date")),
    ],
)
def test_a_line_without_what_is_needed_is_rejected(cells, cause):
    result = read_lines(line(), line(**cells), line())
    assert result.counts == {cause: 1}
    assert result.rejected == [(2, cause[1], cause[0], line(**cells))]
    assert [row["record_number"] for row in result.lines] == [1, 3]


def test_bad_values_in_wanted_columns_are_defects():
    header = HEADER + ";Unités;Montant payé"
    result = read_lines(line(place="ici", patient="?") + ";deux;rien", line() + ";2,0;1,00", header=header)
    assert result.defects == {"place": 1, "patient_key": 1, "units": 1, "paid_cents": 1}
    assert (result.lines[1]["units"], result.lines[1]["paid_cents"]) == (2, 100)
    assert result.counts == {}


def test_blank_and_total_lines_are_neither_rows_nor_rejects():
    result = read_lines(
        "", line(), "  ", ";;;;;", ";;", line(), ";;;;;;;;", "Total;;98,30;;;", "Grand total;98,30", ";;98,30;;;", ""
    )  # fmt: skip
    assert len(result.lines) == 2
    assert result.rows == 2
    assert result.counts == {}


def test_short_and_long_lines():
    result = read_lines("a;b", line(), line() + ";x", line())
    assert [row["record_number"] for row in result.lines] == [2, 4]
    assert [row[:3] for row in result.rejected] == [(1, None, "wrong_field_count"), (3, None, "wrong_field_count")]


def test_nul_bytes_are_dropped():
    result = read_lines(line(patient="BELZ75520112 - BÉ\0LA"), "a\0;b")
    assert result.lines[0]["patient_name"] == "BÉLA"
    assert result.rejected[0][3] == "a;b"


@pytest.mark.parametrize("block_bytes", [1 << 16, 1 << 20, 1 << 24])
def test_a_line_of_a_megabyte_is_read_and_one_of_five_is_not(block_bytes):
    header = HEADER + ";Facture"
    long, too_long = "x" * (1 << 20), "y" * (5 << 20)
    result = read_lines(
        line() + ";" + long, line() + ";" + too_long, line() + ";1", header=header, block_bytes=block_bytes
    )
    assert [row["invoice"] for row in result.lines] == [long, "1"]
    (rejected,) = result.rejected
    assert rejected[:3] == (2, None, "too_long")
    assert len(rejected[3].encode()) in range((64 << 10) - 3, (64 << 10) + 1)


def test_only_the_first_thousand_rejected_lines_are_stored():
    result = read_lines(line(), *["a;b", line(code="x")] * 1500, block_bytes=4096)
    assert len(result.rejected) == 1000
    assert [row[0] for row in result.rejected] == list(range(2, 1002))
    assert result.counts == {("wrong_field_count", ""): 1500, ("bad_code", "code"): 1500}
    assert result.rows == 3001


def test_progress_only_grows_and_ends_at_the_size():
    result = read_lines(*[line()] * 500, block_bytes=4096)
    positions = [batch.bytes_parsed for batch in result.batches]
    assert positions == sorted(positions)
    assert len(positions) > 5
    assert positions[-1] == sum(len((text + "\r\n").encode("cp1252")) for text in [line()] * 500) + 80


@pytest.mark.parametrize(
    "pack",
    [gzip.compress, zstandard.compress, lambda raw: gzip.compress(raw[:40], mtime=0) + gzip.compress(raw[40:])],
)
def test_compressed_files(pack):
    noise = random.Random(1)
    lines = [line(place=str(noise.randrange(10_000, 99_999))) for _ in range(300)]
    raw = pack("\n".join([HEADER, *lines]).encode("cp1252"))
    result = read_bytes(raw)
    assert len(result.lines) == 300
    assert result.format.compression in {"gzip", "zstd"}
    assert result.batches[-1].bytes_parsed == len(raw)


def test_archives_that_are_broken_or_expand_too_much():
    raw = "\n".join(["x"] * 200_000).encode()
    for pack in (gzip.compress, zstandard.compress):
        packed = pack(raw)
        assert reason_of(packed[: len(packed) // 2]).reason is Reason.CORRUPT_ARCHIVE
        assert reason_of(packed[:20] + b"\xff" * 50).reason is Reason.CORRUPT_ARCHIVE
        assert reason_of(packed, max_expansion_ratio=10).reason is Reason.EXPANDS_TOO_LARGE
        assert reason_of(packed, max_expanded_bytes=1000, max_expansion_ratio=10**6).reason is Reason.EXPANDS_TOO_LARGE


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", Reason.EMPTY_FILE),
        (codecs.BOM_UTF8, Reason.EMPTY_FILE),
        (b"\r\n \r\n", Reason.EMPTY_FILE),
        (b"%PDF-1.7\n", Reason.NOT_A_CSV),
        (b"PK\x03\x04" + b"x" * 100, Reason.NOT_A_CSV),
        (b"\x89PNG\r\n\x1a\n", Reason.NOT_A_CSV),
        (bytes(range(256)) * 20, Reason.NOT_A_CSV),
        (b"<!DOCTYPE html><html>", Reason.NOT_A_CSV),
        (gzip.compress(b"PK\x03\x04" + b"x" * 100, mtime=0), Reason.NOT_A_CSV),
        (b"bonjour\nle monde\n", Reason.NO_USABLE_HEADER),
        (b"1;2;3;4\n5;6;7;8\n", Reason.NO_USABLE_HEADER),
    ],
)
def test_files_that_are_no_claim_files(raw, reason):
    assert reason_of(raw).reason is reason


def test_a_header_alone_is_an_error_of_its_own():
    with pytest.raises(TerminalError) as caught:
        read_lines("", ";;;;;")
    assert caught.value.reason is Reason.HEADER_ONLY


def test_all_lines_rejected_is_for_the_caller_to_judge():
    assert read_lines("a;b").counts == {("wrong_field_count", ""): 1}


@pytest.mark.parametrize("hint", ["tab", "\\t", "\t"])
def test_a_delimiter_can_be_told(hint):
    result = read_lines(line().replace(";", "\t"), header=HEADER.replace(";", "\t"), delimiter_hint=hint)
    assert result.format.delimiter == "\t"
    with pytest.raises(TerminalError):
        read_lines(line(), delimiter_hint="abc")
    with pytest.raises(TerminalError):
        read_lines(line(), delimiter_hint="|")


class Closing(io.BytesIO):
    open_files = 0

    def __init__(self, raw):
        super().__init__(raw)
        Closing.open_files += 1

    def close(self):
        Closing.open_files -= not self.closed
        super().close()


def test_what_was_opened_is_closed():
    raw = "\n".join([HEADER, *[line()] * 100]).encode("cp1252")
    Closing.open_files = 0
    with open_claims(lambda: Closing(raw), len(raw), ReadOptions(block_bytes=512)) as file:
        assert Closing.open_files == 0
        next(file.batches())
    assert Closing.open_files == 0


def test_trouble_of_the_store_is_passed_on():
    class Broken(io.BytesIO):
        def read(self, size=-1):
            if self.tell() > 20:
                raise ConnectionError("the store is away")
            return super().read(min(size, 30))

    for raw in (gzip.compress(random.Random(1).randbytes(5000)), b"a;b\n" * 50):
        with pytest.raises(ConnectionError, match="away"):
            open_claims(lambda raw=raw: Broken(raw), len(raw))
