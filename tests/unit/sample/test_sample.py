"""The sample generator: the same bytes for ever, any dialect, any length, invented people only."""

import csv
import io
import re
from collections import Counter, defaultdict
from importlib.resources import files

import pytest

from facnet_grpc.sample.cells import SampleDialect
from facnet_grpc.sample.writer import write_sample


def sample(rows, **options) -> bytes:
    out = io.BytesIO()
    write_sample(rows, out, **options)
    return out.getvalue()


def cells(raw: bytes, encoding="cp1252", delimiter=";"):
    rows = list(csv.reader(io.StringIO(raw.decode(encoding), newline=""), delimiter=delimiter))
    return [dict(zip(enumerate(rows[0]), row, strict=True)) for row in rows[1:]]


def column(raw: bytes, name: str) -> list[str]:
    return [next(value for (_, key), value in row.items() if key == name) for row in cells(raw)]


def test_the_shipped_file_is_what_the_generator_writes():
    shipped = files("facnet_grpc.sample").joinpath("claims-5000.csv").read_bytes()
    assert sample(5000, seed=1) == shipped
    assert len(shipped) < 1_500_000


def test_another_seed_gives_another_file():
    assert sample(50, seed=2) != sample(50, seed=1)


@pytest.mark.parametrize("rows", [0, 1, 7, 40_000])
def test_a_shorter_file_is_the_beginning_of_a_longer_one(rows):
    short = sample(rows)
    assert short.count(b"\r\n") == rows + 1
    assert sample(41_000).startswith(short)


def test_a_path_is_written_to(tmp_path):
    write_sample(3, tmp_path / "claims.csv")
    assert (tmp_path / "claims.csv").read_bytes() == sample(3)


@pytest.mark.parametrize(
    ("dialect", "bom"),
    [
        (SampleDialect(encoding="utf-8"), b"#"),
        (SampleDialect(encoding="utf-8-sig", delimiter=","), b"\xef\xbb\xbf#"),
        (SampleDialect(encoding="utf-16", delimiter="\t", line_end="\n"), b"\xff\xfe#\0"),
        (SampleDialect(delimiter="|", decimal_mark=".", date_format="%d-%m-%Y", line_end="\r"), b"#"),
    ],
)
def test_every_dialect_says_the_same(dialect, bom):
    raw = sample(300, dialect=dialect)
    assert raw.startswith(bom)
    read = cells(raw, dialect.encoding, dialect.delimiter)
    usual = cells(sample(300))
    assert [row[(16, "Doctor Info")] for row in read] == [row[(16, "Doctor Info")] for row in usual]
    assert [row[(21, "Patient")] for row in read] == [row[(21, "Patient")] for row in usual]
    assert [row[(14, "Montant Preliminaire")].replace(".", ",") for row in read] == [
        row[(14, "Montant Preliminaire")] for row in usual
    ]


def test_patients_look_like_patients():
    raw = sample(5000)
    for patient in column(raw, "Patient"):
        assert re.fullmatch(r"([A-Z]{4}\d{8} - [^,]+, [^,]+)?", patient)
    births = {patient[4:10] for patient in column(raw, "Patient") if patient}
    assert all(1 <= (int(text[2:4]) - 1) % 50 + 1 <= 12 and 1 <= int(text[4:]) <= 28 for text in births)


def test_doctors_bill_believable_days():
    raw = sample(5000)
    codes = Counter(column(raw, "Code"))
    assert {"19928", "19929", "08875", "08857", "08859", "15819", "15773"} <= set(codes)
    sheets = defaultdict(list)
    for row in cells(raw):
        sheets[row[(16, "Doctor Info")], row[(3, "Date de Service")]].append(row)
    assert 150 < len(sheets) < 300
    assert any(not row[(15, "Montant payé")] for rows in sheets.values() for row in rows)
    assert any(row[(14, "Montant Preliminaire")].startswith("-") for rows in sheets.values() for row in rows)
    assert all(len({row[(7, "Lieu de pratique")] for row in rows}) <= 3 for rows in sheets.values())


def test_a_patient_is_not_seen_twice_a_day_by_chance():
    seen = Counter(
        (row[(16, "Doctor Info")], row[(3, "Date de Service")], row[(21, "Patient")])
        for row in cells(sample(5000))
        if row[(10, "Code")].startswith("15")
    )
    assert max(seen.values()) == 1


def test_some_lines_can_be_made_unreadable():
    good, bad = sample(2000).split(b"\r\n"), sample(2000, bad_share=0.25).split(b"\r\n")
    differing = [line for line, was in zip(bad, good, strict=True) if line != was]
    assert 400 < len(differing) < 600
    assert {line.count(b";") for line in differing} == {6, 22}
    assert all(line != was for line, was in zip(sample(50, bad_share=1).split(b"\r\n")[1:-1], good[1:], strict=False))


def test_the_check_characters_of_patients_are_right():
    keys = [patient.partition(" - ")[0] for patient in column(sample(2000), "Patient") if patient]
    assert all(_check_character(key) == key[11] for key in keys)
    assert {_century(key) for key in keys} == {"19", "20"}


def _century(key):
    return "20" if int(key[4:6]) <= 15 else "19"


def _check_character(key):
    """Calculate as the public description does: letters as two digits (S is 20), each field by weights of its own."""
    letters = "".join(f"{ord(letter) - 64 + (letter > 'R'):02}" for letter in key[:4])
    woman = int(key[6:8]) > 50
    fields = (
        (letters, (7, 1, 1, 3, 9, 7, 3, 9)),
        (_century(key) + key[4:6], (5, 3, 1, 3)),
        (f"{int(key[6:8]) - 50 * woman:02}", (5, 7)),
        (key[8:10], (6, 9)),
        (key[10], (1,)),
    )
    total = sum(int(digit) * weight for text, weights in fields for digit, weight in zip(text, weights, strict=True))
    return str((total + 4 * woman) % 10)
