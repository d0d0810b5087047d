"""Options and limits of the reader, and the reasons for which it rejects a line."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class RejectReason(StrEnum):
    """Why a line is rejected; the names that callers and the catalogues of texts know."""

    WRONG_FIELD_COUNT = "wrong_field_count"
    BAD_DATE = "bad_date"
    BAD_AMOUNT = "bad_amount"
    BAD_TIME = "bad_time"
    BAD_CODE = "bad_code"
    MISSING_REQUIRED = "missing_required"
    UNTERMINATED_QUOTE = "unterminated_quote"
    BAD_ENCODING = "bad_encoding"
    TOO_LONG = "too_long"


# Enough for a header below title lines and a few thousand rows to judge by; does not depend on `block_bytes`.
PROBE_BYTES = 1 << 20
# A line longer than this is rejected as too long; a quote still open after as many bytes is never closed.
MAX_LINE_BYTES = 4 << 20
# What is kept of a rejected line's text.
MAX_RAW_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """Hints from the caller, which override what is detected, and limits."""

    encoding_hint: str | None = None
    delimiter_hint: str | None = None
    max_expanded_bytes: int = 64 << 30
    """Largest size of a compressed file once expanded, in bytes."""
    max_expansion_ratio: int = 200
    """How many times its own size a compressed file may expand to."""
    block_bytes: int = 2 << 20
    """Bytes that are read at a time. The lines do not depend on it; with half of it, reading takes a sixth longer."""
