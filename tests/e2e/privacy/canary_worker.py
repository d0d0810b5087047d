"""A worker with a bug: one rule raises, with the cells that it was looking at in its text."""

from __future__ import annotations

from typing import Any, NoReturn

from facnet_grpc.rules.catalog.office_fee import OfficeFee
from workers import main


def setup() -> None:
    """Put the bug in, and go on as every worker."""
    OfficeFee.evaluate = _raise  # type: ignore[method-assign]
    main.setup()


def _raise(_self: Any, lines: Any, _reference: Any) -> NoReturn:
    raise ValueError(lines.slice(0, 5).to_pylist())
