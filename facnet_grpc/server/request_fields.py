"""Reads single fields of requests. Everything here raises `InvalidInput` with the field's name."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Never, TypeVar
from uuid import UUID

from facnet_grpc.errors import InvalidInput

T = TypeVar("T")

MAX_KEY = 128
MAX_FILE_NAME = 255
MAX_LABELS = 16
MAX_LABEL = 64
MAX_FILTERS = 100  # values of one repeated filter
SHA256 = re.compile(r"[0-9a-fA-F]{64}")
UUID_TEXT = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # Unicode categories that draw nothing, or something else
JOINERS = {"\u200c", "\u200d"}  # invisible, but part of how words are written


def uuid(field: str, value: str) -> UUID:
    """Read a UUID in its usual form."""
    if not UUID_TEXT.fullmatch(value):
        raise InvalidInput(field=field)
    return UUID(value)


def optional_uuid(field: str, value: str) -> UUID | None:
    """Read a UUID, or nothing."""
    return uuid(field, value) if value else None


def text(field: str, value: str, *, max_length: int = MAX_KEY) -> str:
    """Read a text of 1 to `max_length` characters without control characters."""
    if not 0 < len(value) <= max_length or _has_controls(value):
        raise InvalidInput(field=field, max_length=max_length)
    return value


def optional_text(field: str, value: str, *, max_length: int = MAX_KEY) -> str | None:
    """Read a text, or nothing."""
    return text(field, value, max_length=max_length) if value else None


def texts(field: str, values: Sequence[str]) -> tuple[str, ...]:
    """Read up to `MAX_FILTERS` texts, in the order given."""
    if len(values) > MAX_FILTERS:
        raise InvalidInput(field=field, max_items=MAX_FILTERS)
    return tuple(text(field, value) for value in values)


def sha256(field: str, value: str) -> str | None:
    """Read a SHA-256 of 64 hexadecimal digits, as lower case; or nothing."""
    if value and not SHA256.fullmatch(value):
        raise InvalidInput(field=field)
    return value.lower() or None


def labels(field: str, values: Mapping[str, str]) -> dict[str, str]:
    """Read at most 16 labels; values may be empty."""
    if len(values) > MAX_LABELS:
        raise InvalidInput(field=field, max_items=MAX_LABELS)
    return {
        text(field, key, max_length=MAX_LABEL): value and text(field, value, max_length=MAX_LABEL)
        for key, value in values.items()
    }


def day(field: str, value: str) -> date | None:
    """Read a day written YYYY-MM-DD; or nothing."""
    if not value:
        return None
    try:
        return date.fromisoformat(value) if DAY.fullmatch(value) else refuse(field)
    except ValueError:
        return refuse(field)


def delimiter(field: str, value: str) -> str | None:
    """Read a delimiter, one character (a tab is one); or nothing."""
    if value != "\t":
        return optional_text(field, value, max_length=1)
    return value


def one_of(field: str, number: int, known: Mapping[int, T]) -> T:
    """Read a number that is a key of `known`, and return its value."""
    return known[number] if number in known else refuse(field)


def refuse(field: str) -> Never:
    """Raise the error of an invalid field."""
    raise InvalidInput(field=field)


def _has_controls(value: str) -> bool:
    return any(unicodedata.category(character) in UNSEEN and character not in JOINERS for character in value)
