"""Why a line is rejected."""

from __future__ import annotations

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
