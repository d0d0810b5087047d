"""Scrubbing of log fields: only types that cannot hold a person pass, and patterns of persons in texts are masked.

A name looks like any other word, so this is only a second line of defence: code must not pass a cell to a logger.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

MAX_TEXT = 200  # characters of a string
MAX_ITEMS = 20  # of a list or a mapping
MAX_DEPTH = 3
MASK = "***"

# Fields that are masked by name. `doctor_key` is a licence number, and file names may contain patients' names.
PERSONAL = frozenset(
    {
        *("cell", "content", "doctor", "doctor_info", "doctor_key", "doctor_name", "file_name", "nam", "password"),
        *("patient", "patient_key", "patient_name", "raw", "row", "token"),
    },
)

# A NAM: four letters and eight characters of which six or more are digits, grouped as on a card; or with a masked date,
# as in masked exports.
_NAM = re.compile(r"[^\W\d_]{4}[ -]?(?:\d{4}[ -]?\d{2}[0-9A-Za-z]{2}|[xX*]{4}[ -]?\d{4})")
# Ids, which may match `_NAM` by accident.
_ID = re.compile(
    r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b|\b(?:pt_|dr_)?(?:[0-9a-f]{32}|[0-9a-f]{64})\b",
)
# Doctors as in exports (`1234567-12345 | …`), and `Dr Last`.
_DOCTOR = re.compile(r"\d{7}-\d{5}\s*\|.*|\bDr(?:e\.?|\.)?\s+[^\W\d_][^\W\d_'-]+(?:[ -][^\W\d_]+)?")
_URL_PASSWORD = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*://[^\s:/@]*):[^\s/]*@")
_WORD_PASSWORD = re.compile(r"(?i)\b(password|passwd|pwd|secret)\s*=\s*(?:'[^']*'|[^\s&;,]+)")


def scrub_text(text: str) -> str:
    """Return a text for a log: masked, on one line, at most `MAX_TEXT` characters."""
    text = _URL_PASSWORD.sub(rf"\1:{MASK}@", text)
    text = _WORD_PASSWORD.sub(rf"\1={MASK}", text)
    masked, end = [], 0
    for match in _ID.finditer(text):
        masked += [_mask(text[end : match.start()]), match[0]]
        end = match.end()
    masked.append(_mask(text[end:]))
    line = " ".join("".join(masked).split())
    return line if len(line) <= MAX_TEXT else f"{line[:MAX_TEXT]}…"


def _mask(text: str) -> str:
    return _DOCTOR.sub(MASK, _NAM.sub(MASK, text))


def scrub_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a log entry with persons masked."""
    return {name: MASK if name in PERSONAL else scrub_value(value) for name, value in fields.items()}


def scrub_value(value: Any, depth: int = 0) -> Any:
    """Return a value for a log; `<type name>` if its type is not one of those that pass."""
    if value is None or isinstance(value, (bool, float)):
        return value
    if isinstance(value, Enum):
        return scrub_value(value.value, depth)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, (UUID, date, timedelta)):
        return str(value)
    if isinstance(value, (str, PurePath)):
        return scrub_text(str(value))
    return _scrub_collection(value, depth) if depth < MAX_DEPTH else _kind(value)


def _scrub_collection(value: Any, depth: int) -> Any:
    if isinstance(value, Mapping):
        items = list(value.items())[:MAX_ITEMS]
        return {
            scrub_text(str(name)): MASK if name in PERSONAL else scrub_value(item, depth + 1) for name, item in items
        }
    if isinstance(value, (frozenset, set)):
        value = sorted(value, key=str)
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        return [scrub_value(item, depth + 1) for item in value[:MAX_ITEMS]]
    return _kind(value)


def _kind(value: object) -> str:
    return f"<{type(value).__name__}>"
