"""Renders sample lines as text: Arrow columns joined to lines, in the dialect of a clinic's software."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from facnet_grpc.sample import acts, people
from facnet_grpc.sample.acts import Draw, Ints
from facnet_grpc.sample.lines import CONTEXTS, NO_PATIENT, NO_TIME, NOT_SAID, Lines
from facnet_grpc.sample.sheets import working_days

_BOMS = {"cp1252": b"", "utf-8": b"", "utf-8-sig": codecs.BOM_UTF8, "utf-16": codecs.BOM_UTF16_LE}
_CODECS = {"utf-8-sig": "utf-8", "utf-16": "utf-16-le"}


@dataclass(frozen=True, slots=True)
class SampleDialect:
    """The choices that a clinic's software makes; the defaults are the usual ones."""

    encoding: Literal["cp1252", "utf-8", "utf-8-sig", "utf-16"] = "cp1252"
    delimiter: str = ";"
    decimal_mark: str = ","
    date_format: str = "%Y-%m-%d"
    """As for `strftime`."""
    line_end: str = "\r\n"

    @property
    def bom(self) -> bytes:
        """The bytes that the file begins with."""
        return _BOMS[self.encoding]

    def encode(self, text: bytes) -> bytes:
        """Encode a part of the file, given as UTF-8, without a byte order mark."""
        if self.encoding.startswith("utf-8"):
            return text
        return text.decode().encode(_CODECS.get(self.encoding, self.encoding))

    def quote(self, text: str) -> str:
        """Return a cell's text, in quotes if it holds a delimiter."""
        return f'"{text}"' if self.delimiter in text else text


USUAL = SampleDialect()

HEADER = (
    "#",
    "Facture",
    "ID RAMQ",
    "Date de Service",
    "Début",
    "Fin",
    "Periode",
    "Lieu de pratique",
    "Secteur d'activité",
    "Diagnostic",
    "Code",
    "Unités",
    "Rôle",
    "Élement de contexte",
    "Montant Preliminaire",
    "Montant payé",
    "Doctor Info",
    "DEV NOTE - À TRADUIRE: statut",
    "DEV NOTE - À TRADUIRE: remarque",
    "DEV NOTE - À TRADUIRE: origine",
    "Agence",
    "Patient",
    "Grand Total",
)
_PLACES = ("51873", "53416", "55207", "57942", "20123", "00918", "")
_DIAGNOSES = ("4019", "2500", "4660", "V700", "7242", "3110", "2724", "")
_SHORT_FIELDS = 7

Text = Any  # an Arrow array of strings; pyarrow has no types


def header_line(dialect: SampleDialect) -> bytes:
    """Return the first line, in UTF-8, with its end."""
    return (dialect.delimiter.join(dialect.quote(name) for name in HEADER) + dialect.line_end).encode()


def render(draw: Draw, lines: Lines, dialect: SampleDialect, bad_share: float) -> bytes:
    """Return the lines in UTF-8, each with its end; about `bad_share` of them cannot be read."""
    columns = _columns(draw, lines, dialect)
    bad = draw.chance(bad_share, "bad", lines.number)
    if not bad.any():
        return _bytes(_rows(columns, dialect))
    kind = np.where(bad, draw.below(3, "bad kind", lines.number), 3)
    bad_date, bad_amount, too_short = (pa.array(kind == number) for number in range(3))
    columns[3] = pc.if_else(bad_date, "2025-02-31", columns[3])
    columns[14] = pc.if_else(bad_amount, "4x7", columns[14])
    whole = _rows(columns, dialect)
    short = _rows(columns[:_SHORT_FIELDS], dialect)
    return _bytes(pc.if_else(too_short, short, whole))


def _columns(draw: Draw, lines: Lines, dialect: SampleDialect) -> list[Text]:
    number = pa.array(lines.number)
    blank = pa.nulls(len(lines.number), pa.string()).fill_null("")
    paid = _amounts(lines.paid, dialect)
    preliminary = _amounts(lines.preliminary, dialect)
    not_said = pa.array(lines.paid == NOT_SAID)
    paid = pc.if_else(not_said, "", paid)
    return [
        pc.cast(pc.add(number, 1), pa.string()),
        pc.cast(pc.add(number, 400_000_001), pa.string()),
        pc.cast(pc.add(pc.multiply(number, 11), 20_000_000_018), pa.string()),
        _take(_days(dialect.date_format), lines.day),
        _take(_clock(), lines.start),
        _take(_clock(), lines.end),
        pc.if_else(not_said, "", _take(_periods(), lines.day + draw.below(7, "period", lines.number))),
        _take(_PLACES, lines.place),
        blank,
        _take(_DIAGNOSES, draw.below(len(_DIAGNOSES), "diagnosis", lines.number)),
        _take(acts.CODES, lines.act),
        pc.cast(pa.array(lines.units), pa.string()),
        _take(("1", ""), draw.below(2, "role", lines.number)),
        _take([dialect.quote(text) for text in CONTEXTS], lines.context),
        preliminary,
        paid,
        _distinct(lines.doctor, lambda doctors: [dialect.quote(cell) for cell in people.doctors(doctors)]),
        _take(("", "Soumis"), draw.below(2, "status", lines.number)),
        blank,
        blank,
        _distinct(lines.doctor // 64, lambda agencies: [f"{70_000 + agency % 20_000}" for agency in agencies.tolist()]),
        _patients(draw, lines, dialect),
        paid,
    ]


def _take(table: list[str] | tuple[str, ...], indexes: Ints) -> Text:
    return pa.array(table, pa.string()).take(pa.array(indexes))


def _distinct(values: Ints, texts: Callable[[Ints], list[str]]) -> Text:
    """Make the text of each distinct value once."""
    found, indexes = np.unique(values, return_inverse=True)
    return _take(texts(found), indexes)


def _amounts(cents: Ints, dialect: SampleDialect) -> Text:
    def write(values: Ints) -> list[str]:
        signs = ["-" if value < 0 else "" for value in values.tolist()]
        parts = [divmod(abs(value), 100) for value in values.tolist()]
        return [
            dialect.quote(f"{sign}{units}{dialect.decimal_mark}{rest:02}")
            for sign, (units, rest) in zip(signs, parts, strict=True)
        ]

    return _distinct(cents, write)


def _patients(draw: Draw, lines: Lines, dialect: SampleDialect) -> Text:
    texts = people.patients(draw, lines.patient, old=lines.old)
    if dialect.delimiter in " -,":
        texts = pc.binary_join_element_wise('"', texts, '"', "")
    return pc.if_else(pa.array(lines.patient == NO_PATIENT), "", texts)


@lru_cache(maxsize=8)
def _days(date_format: str) -> tuple[str, ...]:
    return tuple(day.strftime(date_format) for day in working_days())


@lru_cache(maxsize=1)
def _periods() -> tuple[str, ...]:
    """Payment periods: two to four weeks after the service."""
    paid_on = [working_days()[0] + timedelta(days=14 + 7 * day // 5) for day in range(len(working_days()) + 7)]
    weeks = [day.isocalendar() for day in paid_on]
    return tuple(f"{week.year}{week.week:02}" for week in weeks)


@lru_cache(maxsize=1)
def _clock() -> tuple[str, ...]:
    return (*(f"{minute // 60:02}:{minute % 60:02}" for minute in range(NO_TIME)), "")


def _rows(columns: list[Text], dialect: SampleDialect) -> Text:
    last = pc.binary_join_element_wise(columns[-1], dialect.line_end, "")
    return pc.binary_join_element_wise(*columns[:-1], last, dialect.delimiter)


def _bytes(rows: Text) -> bytes:
    """Return the rows' text one after the other, which is how Arrow keeps it."""
    length: int = pc.sum(pc.binary_length(rows)).as_py()
    text: bytes = rows.buffers()[2].slice(0, length).to_pybytes()
    return text
