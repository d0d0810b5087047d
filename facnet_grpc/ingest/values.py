"""What one cell says: plain functions from a cell's text, trimmed and not empty, to a value; None if it says nothing.

They run once per distinct text of a block, so they may be slow; `casts.py` applies them to columns.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

_SPACE = r"[\s\u00a0\u202f\u2009]"
_AMOUNT = re.compile(r"(\d{1,12})(?:[.,](\d{1,2}))?", re.ASCII)
_GROUPED = {
    " ": re.compile(r"\d{1,3}(?: \d{3}){1,3}(?:[.,]\d{1,2})?", re.ASCII),
    ",": re.compile(r"\d{1,3}(?:\.\d{3}){1,3}(?:,\d{1,2})?", re.ASCII),
    ".": re.compile(r"\d{1,3}(?:,\d{3}){1,3}(?:\.\d{1,2})?", re.ASCII),
}
_TIME = re.compile(r"(\d{1,2})(?: ?[:hH] ?)(\d{2})(?::(\d{2})(?:\.0+)?)?|(\d{1,2})(\d{2})", re.ASCII)
_CODE = re.compile(r"#?(\d{1,5})", re.ASCII)
_PLACE = re.compile(r"(\d{1,5})", re.ASCII)
_UNITS = re.compile(r"(\d{1,9})(?:[.,]0+)?", re.ASCII)
_TOKENS = re.compile(r"[,;\s]+")
_DOCTOR = re.compile(r"(\d{7})\s*(?:-\s*\d*\s*)?(?:\|\s*(.*))?", re.ASCII | re.DOTALL)
# Whether it is a possible NAM is for the rules to say; what it is masked with is no letter of one.
_NAM = re.compile(r"[A-Za-z0-9]{12}", re.ASCII)
_MASK = "xxxx"


class Doctor(NamedTuple):
    """A doctor's cell: the 7 digits, "Last, First", the cell as it is."""

    key: str
    name: str | None
    info: str


class Patient(NamedTuple):
    """A patient's cell: what identifies the patient, "LAST, FIRST"."""

    key: str
    name: str | None


def cents(text: str, decimal_mark: str) -> int | None:
    """Return an amount in cents: `47,05`, `47.05`, `1 234,50 $`, `-12,00`, `12,00-`, `(12,00)`.

    The file's decimal mark only matters where a mark is followed by three digits: then the other one groups thousands.
    """
    text = re.sub(_SPACE, " ", text).replace("$", "").strip()
    is_negative = False
    if text.startswith("(") and text.endswith(")"):
        is_negative, text = True, text[1:-1].strip()
    elif text[:1] in {"-", "\u2212", "+"}:
        is_negative, text = text[0] != "+", text[1:].strip()
    elif text.endswith("-"):
        is_negative, text = True, text[:-1].strip()
    if _GROUPED[" "].fullmatch(text):
        text = text.replace(" ", "")
    elif _GROUPED[decimal_mark].fullmatch(text):
        text = text.replace("." if decimal_mark == "," else ",", "")
    match = _AMOUNT.fullmatch(text)
    if not match:
        return None
    amount = int(match[1]) * 100 + int((match[2] or "").ljust(2, "0"))
    return -amount if is_negative else amount


def seconds(text: str) -> int | None:
    """Return a time of day in seconds: `09:30`, `9:30`, `09:30:00`, `0930`, `9h30`."""
    match = _TIME.fullmatch(text)
    if not match:
        return None
    hours, minutes = int(match[1] or match[4]), int(match[2] or match[5])
    rest = int(match[3] or 0)
    return hours * 3600 + minutes * 60 + rest if hours < 24 and minutes < 60 and rest < 60 else None  # noqa: PLR2004 - a clock


def code(text: str) -> str | None:
    """Return a billing code: 1 to 5 digits, left-padded to 5."""
    match = _CODE.fullmatch(text)
    return match[1].zfill(5) if match else None


def place(text: str) -> str | None:
    """Return the number of a place: 1 to 5 digits, left-padded to 5."""
    match = _PLACE.fullmatch(text)
    return match[1].zfill(5) if match else None


def units(text: str) -> int | None:
    """Return a whole number of units."""
    match = _UNITS.fullmatch(text)
    return int(match[1]) if match else None


def context(text: str) -> str | None:
    """Return the tokens in upper case, without `#`, joined by one comma; None if there are none."""
    tokens = [token.strip("#").upper() for token in _TOKENS.split(text)]
    return ",".join(token for token in tokens if token) or None


def doctor(text: str) -> Doctor | None:
    """Return the parts of `NNNNNNN-NNNNN | Last, First - Specialty`; None without the 7 digits."""
    match = _DOCTOR.fullmatch(text)
    if not match:
        return None
    # A hyphen within a name has no spaces around it.
    name = (match[2] or "").rsplit(" - ", 1)[0].strip()
    return Doctor(match[1], name or None, text)


def patient(text: str) -> Patient | None:
    """Return the parts of `NAM - LAST, FIRST`; None if it does not begin with a NAM.

    A masked NAM does not tell people apart, so the folded name belongs to the key.
    """
    number, _, name = text.partition(" - ")
    number, name = number.replace(" ", "").strip(), name.strip()
    if not _NAM.fullmatch(number):
        return None
    if number[4:8].lower() == _MASK:
        number = number[:4].upper() + _MASK + number[8:].upper()
        return Patient(f"{number} {fold(name)}".strip(), name or None)
    return Patient(number.upper(), name or None)


def fold(text: str) -> str:
    """Return the text in upper case without accents, runs of spaces as one."""
    if text.isascii():
        return " ".join(text.upper().split())
    letters = unicodedata.normalize("NFKD", text)
    return " ".join("".join(letter for letter in letters if not unicodedata.combining(letter)).upper().split())
