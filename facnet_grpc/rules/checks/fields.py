"""How values are written in a pack: each kind reads one and raises `ValueError` with a sentence if it cannot."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from facnet_grpc.rules.checks.grouping import PARTS, SESSION
from facnet_grpc.rules.checks.primitives.base import Field
from facnet_grpc.rules.checks.primitives.clock import DAYS, Window

Sets = Mapping[str, frozenset[str]]

COLUMNS = frozenset(
    {
        *("patient_key", "patient_name", "place", "context", "units", "start_time", "end_time", "paid_cents"),
        *("role", "payment_period", "invoice", "ramq_id"),
    },
)
_CODE = re.compile(r"\d{5}")
_RANGE = re.compile(r"(\d{5})\.\.(\d{5})")
_CLOCK = re.compile(r"([01]\d|2[0-4]):([0-5]\d)")


def read(field: Field, value: Any, sets: Sets) -> Any:
    """Return a parameter as its primitive wants it."""
    if field.kind == "choice":
        return _choice(value, field.choices)
    return KINDS[field.kind](value, sets)


def codes(value: Any, sets: Sets) -> frozenset[str]:
    """Read codes: five digits, `15765..15767`, or `@SET`."""
    found: set[str] = set()
    for item in _list(value, "codes"):
        found |= _codes_of(item, sets)
    return frozenset(found)


def _codes_of(item: Any, sets: Sets) -> frozenset[str]:
    if not isinstance(item, str):
        raise ValueError(f"a code is a text of five digits, not {item!r}")  # noqa: TRY004 - one error for all problems
    if item.startswith("@"):
        if item[1:] not in sets:
            raise ValueError(f"there is no code set {item}")
        return sets[item[1:]]
    if match := _RANGE.fullmatch(item):
        return frozenset(f"{code:05}" for code in range(int(match[1]), int(match[2]) + 1))
    if not _CODE.fullmatch(item):
        raise ValueError(f"{item!r} is no code: five digits, a range such as 15765..15767, or @SET")
    return frozenset([item])


def group(value: Any, *, sessions: bool) -> tuple[str, ...]:
    """Read a group such as `doctor+patient+day`."""
    parts = tuple(_text(value, {}).split("+"))
    for part in parts:
        if part not in PARTS and part != SESSION:
            raise ValueError(f"a group is made of {', '.join(PARTS)} and session, not {part!r}")
    if SESSION in parts[:-1] or (SESSION in parts and not sessions):
        raise ValueError("only exclusions group by session, and it comes last")
    return parts


def texts(value: Any, _: Sets) -> tuple[str, ...]:
    """Read a list of texts; a whole number is one as well (roles, places)."""
    return tuple(str(item) for item in _list(value, "texts"))


def _text(value: Any, _: Sets) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"a text is wanted, not {value!r}")
    return value


def _int(value: Any, _: Sets) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"a whole number is wanted, not {value!r}")
    return value


def _bool(value: Any, _: Sets) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"true or false is wanted, not {value!r}")  # noqa: TRY004 - one error for all problems
    return value


def _choice(value: Any, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise ValueError(f"one of {', '.join(choices)} is wanted, not {value!r}")
    return str(value)


def _numbers(value: Any, sets: Sets) -> tuple[int, ...]:
    return tuple(_int(item, sets) for item in _list(value, "numbers"))


def _numbers_by_code(value: Any, sets: Sets) -> dict[str, int]:
    return {code: _int(item, sets) for code, item in _by_code(value).items()}


def _codes_by_code(value: Any, sets: Sets) -> dict[str, frozenset[str]]:
    return {code: codes(item, sets) for code, item in _by_code(value).items()}


def _code_by_code(value: Any, sets: Sets) -> dict[str, str]:
    return {code: next(iter(codes([item], sets))) for code, item in _by_code(value).items()}


def _by_code(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        raise ValueError(f"a table by code is wanted, not {value!r}")
    for code in value:
        if not _CODE.fullmatch(code):
            raise ValueError(f"{code!r} is no code: five digits")
    return value


def _code_lists(value: Any, sets: Sets) -> tuple[frozenset[str], ...]:
    return tuple(codes(item, sets) for item in _list(value, "lists of codes"))


def _pairs(value: Any, sets: Sets) -> tuple[tuple[frozenset[str], frozenset[str]], ...]:
    return tuple(_pair(item, sets) for item in _list(value, "pairs"))


def _pair(item: Any, sets: Sets) -> tuple[frozenset[str], frozenset[str]]:
    if not isinstance(item, dict) or set(item) != {"a", "b"}:
        raise ValueError(f"a pair is a table with a and b, not {item!r}")
    return codes(item["a"], sets), codes(item["b"], sets)


def _columns(value: Any, _: Sets) -> tuple[str, ...]:
    for column in _list(value, "columns"):
        if column not in COLUMNS:
            raise ValueError(f"there is no column {column!r}; there are {', '.join(sorted(COLUMNS))}")
    return tuple(value)


def _windows(value: Any, sets: Sets) -> tuple[Window, ...]:
    return tuple(_window(item, sets) for item in _list(value, "windows"))


def _window(item: Any, sets: Sets) -> Window:
    if not isinstance(item, dict) or not {"from", "to"} <= set(item) <= {"from", "to", "days", "codes"}:
        raise ValueError(f"a window has from, to and may have days and codes: {item!r}")
    start, end = _clock(item["from"]), _clock(item["to"])
    if start >= end:
        raise ValueError("a window ends after it begins; one over midnight is two windows")
    return Window(
        _choice(item.get("days", "any"), DAYS),
        start,
        end,
        codes(item["codes"], sets) if "codes" in item else frozenset(),
    )


def _clock(value: Any) -> int:
    match = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"a time is a text such as 07:00, not {value!r}")
    return int(match[1]) * 3600 + int(match[2]) * 60


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise ValueError(f"a list of {what} is wanted, not {value!r}")
    return value


KINDS: Mapping[str, Callable[[Any, Sets], Any]] = {
    "codes": codes,
    "code_lists": _code_lists,
    "pairs": _pairs,
    "int": _int,
    "bool": _bool,
    "text": _text,
    "texts": texts,
    "numbers": _numbers,
    "numbers_by_code": _numbers_by_code,
    "codes_by_code": _codes_by_code,
    "code_by_code": _code_by_code,
    "columns": _columns,
    "windows": _windows,
}
