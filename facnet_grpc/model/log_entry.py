"""An entry of a run's log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Any


class LogLevel(IntEnum):
    """How severe an entry is."""

    DEBUG = 1
    INFO = 2
    WARNING = 3
    ERROR = 4

    @property
    def and_above(self) -> list[str]:
        """The names, as stored, of the levels that are at least as severe."""
        return [level.name.lower() for level in LogLevel if level >= self]


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A row of `validation_logs`; `log_number` grows, with gaps. `data` holds ids, counts, codes, column names."""

    log_number: int
    logged_at: datetime
    level: str
    source: str
    event: str
    data: Mapping[str, Any]
