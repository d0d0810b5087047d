"""Log fields without persons: only values of kinds that cannot be one get through, and what slips in is masked.

A name cannot be told from any other word, so this is the net and not the rope: nothing that may hold a cell is given to
a logger in the first place.
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
STRUCK = "***"

# Fields that are a person's by name. `doctor_key` is a licence number, and people put patients' names into file names.
PERSONAL = frozenset(
    {
        *("cell", "content", "doctor", "doctor_info", "doctor_key", "doctor_name", "file_name", "nam", "password"),
        *("patient", "patient_key", "patient_name", "raw", "row", "token"),
    },
)

# Four letters and eight characters of which six or more are digits, in the groups that cards show; or with the date
# struck out, as in masked exports.
_NAM = re.compile(r"[^\W\d_]{4}[ -]?(?:\d{4}[ -]?\d{2}[0-9A-Za-z]{2}|[xX*]{4}[ -]?\d{4})")
# Ids that may look like one by accident.
_ID = re.compile(
    r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b|\b(?:pt_|dr_)?(?:[0-9a-f]{32}|[0-9a-f]{64})\b",
)
# `Last, First` in the shape of the exports, and `Dr Last`: what can be told of a name by its looks.
_DOCTOR = re.compile(r"\d{7}-\d{5}\s*\|.*|\bDr(?:e\.?|\.)?\s+[^\W\d_][^\W\d_'-]+(?:[ -][^\W\d_]+)?")
_URL_PASSWORD = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*://[^\s:/@]*):[^\s/]*@")
_WORD_PASSWORD = re.compile(r"(?i)\b(password|passwd|pwd|secret)\s*=\s*(?:'[^']*'|[^\s&;,]+)")


def scrub_text(text: str) -> str:
    """Return a string fit for a log: masked, on one line, cut at 200 characters."""
    text = _URL_PASSWORD.sub(rf"\1:{STRUCK}@", text)
    text = _WORD_PASSWORD.sub(rf"\1={STRUCK}", text)
    masked, end = [], 0
    for match in _ID.finditer(text):
        masked += [_mask(text[end : match.start()]), match[0]]
        end = match.end()
    masked.append(_mask(text[end:]))
    line = " ".join("".join(masked).split())
    return line if len(line) <= MAX_TEXT else f"{line[:MAX_TEXT]}…"


def _mask(text: str) -> str:
    return _DOCTOR.sub(STRUCK, _NAM.sub(STRUCK, text))


def scrub_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a log line without what may be a person's."""
    return {name: STRUCK if name in PERSONAL else scrub_value(value) for name, value in fields.items()}


def scrub_value(value: Any, depth: int = 0) -> Any:
    """Return a value fit for a log; the name of its type if it is of none of the kinds that are let through."""
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
            scrub_text(str(name)): STRUCK if name in PERSONAL else scrub_value(item, depth + 1) for name, item in items
        }
    if isinstance(value, (frozenset, set)):
        value = sorted(value, key=str)
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        return [scrub_value(item, depth + 1) for item in value[:MAX_ITEMS]]
    return _kind(value)


def _kind(value: object) -> str:
    return f"<{type(value).__name__}>"
