"""What a pack holds once it is read: checks, their tests, texts and cases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any

from facnet_grpc.model.result import Certainty, Severity
from facnet_grpc.rules.checks.primitives.base import Primitive

LANGUAGES = ("fr", "en")


class Status(StrEnum):
    """Whether a check is evaluated, and if not, why."""

    ON = "on"
    OFF = "off"
    COVERED = "covered"  # a core rule asks the same question
    NOT_EVALUABLE = "not_evaluable"  # a claim file does not have what it needs


@dataclass(frozen=True, slots=True)
class Where:
    """Which lines a test is about. Empty: all billed ones."""

    codes: frozenset[str] = frozenset()
    except_codes: frozenset[str] = frozenset()
    at: str = ""  # cabinet or establishment; an unknown place is neither
    places: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    context: frozenset[str] = frozenset()
    except_context: frozenset[str] = frozenset()
    first_day: date | None = None
    last_day: date | None = None


@dataclass(frozen=True, slots=True)
class Test:
    """One question of a check: a primitive, its parameters, and how bad a hit is."""

    scenario: str
    primitive: Primitive
    severity: Severity
    certainty: Certainty
    group: tuple[str, ...]
    where: Where
    params: Mapping[str, Any]
    at_risk: bool
    needs: tuple[str, ...]  # columns that have to hold something
    reads: tuple[str, ...]  # columns that have to be in the file's header


@dataclass(frozen=True, slots=True)
class Text:
    """What a reader sees of one scenario, in one language."""

    name: str  # of the check
    title: str
    message: str
    solution: str


@dataclass(frozen=True, slots=True)
class Cases:
    """The examples of a check: small tables of lines that say what is to be found in them."""

    columns: str
    tables: str
    today: date | None
    line: int  # of `tables` in the file


@dataclass(frozen=True, slots=True)
class Check:
    """A check of a pack."""

    id: str
    version: str
    category: str
    certainty: Certainty
    status: Status
    source: str
    path: Path
    line: int
    note: str = ""  # why it is off, or which core rule asks instead, or how the source was read
    tests: tuple[Test, ...] = ()
    names: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))  # by language
    texts: Mapping[tuple[str, str], Text] = field(default_factory=lambda: MappingProxyType({}))  # (scenario, language)
    cases: Cases | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with a pack."""

    path: Path
    line: int
    sentence: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.sentence}"


class PackError(ValueError):
    """Packs that cannot be used; the message has one line for each problem."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(problems, key=lambda problem: (str(problem.path), problem.line, problem.sentence))
        super().__init__("\n".join(str(problem) for problem in self.problems))
