"""Words that options take, and how options become what the client wants."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from facnet_cli.exits import ExitCode
from facnet_cli.output import printable
from facnet_cli.problem import Problem
from facnet_client.values import LogLevel, Priority, Severity, Status


class PriorityWord(StrEnum):
    """Values of `--priority`."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"

    @property
    def value_of_client(self) -> Priority:
        """What the client calls it."""
        return Priority[self.name]


class StatusWord(StrEnum):
    """Values of `--status`."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def value_of_client(self) -> Status:
        """What the client calls it."""
        return Status[self.name]


class SeverityWord(StrEnum):
    """Values of `--severity`."""

    ERROR = "error"
    WARNING = "warning"
    OPTIMIZATION = "optimization"
    INFO = "info"

    @property
    def value_of_client(self) -> Severity:
        """What the client calls it."""
        return Severity[self.name]


class LevelWord(StrEnum):
    """Values of `--level`."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    @property
    def value_of_client(self) -> LogLevel:
        """What the client calls it."""
        return LogLevel[self.name]


def labels(given: list[str]) -> dict[str, str]:
    """Read `key=value` pairs. Raises `Problem`."""
    pairs = [one.partition("=") for one in given]
    if any(not separator or not key for key, separator, _ in pairs):
        raise Problem("label", ExitCode.USAGE)
    return {key: value for key, _, value in pairs}


def day(option: str, given: str | None) -> datetime | None:
    """Read a day, YYYY-MM-DD, as its first moment in local time. Raises `Problem`."""
    if given is None:
        return None
    try:
        return datetime.strptime(given, "%Y-%m-%d").astimezone()
    except ValueError:
        raise Problem("day", ExitCode.USAGE, option=option, given=printable(given)) from None


def day_text(option: str, given: str | None) -> str:
    """Return a day as it was given, once it is known to be one; empty for none. Raises `Problem`."""
    day(option, given)
    return given or ""
