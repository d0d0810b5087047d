"""What a pack may hold: pydantic models of its tables, and the check that is made of them.

`loader` reads files with these models; `primitives` has the models of `[[check.test]]`, one per primitive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import reduce
from operator import or_
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field, StrictBool, StrictStr

from facnet_grpc.model.result import Certainty
from facnet_grpc.rules.checks.primitives import (
    combinations,
    companions,
    durations,
    formats,
    intervals,
    limits,
    lines,
    tariffs,
)
from facnet_grpc.rules.checks.primitives.base import CheckTest, Day, Entry, Text, matching

LANGUAGES = ("fr", "en")
TEXT_PARTS = ("title", "message", "solution")

#: All primitives by name.
PRIMITIVES: Mapping[str, type[CheckTest]] = MappingProxyType(
    {
        primitive.name(): primitive
        for module in (combinations, companions, durations, formats, intervals, limits, lines, tariffs)
        for primitive in module.PRIMITIVES
    },
)

if TYPE_CHECKING:
    TestEntry = CheckTest
else:
    TestEntry = Annotated[reduce(or_, PRIMITIVES.values()), Field(discriminator="primitive")]


class Status(StrEnum):
    """Whether a check is evaluated, and if not, why."""

    ON = "on"
    OFF = "off"
    COVERED = "covered"  # a core rule asks the same question
    NOT_EVALUABLE = "not_evaluable"  # a claim file does not have what it needs


# One text for all scenarios (under ""), or a table by scenario.
ByScenario = Annotated[dict[str, Text], BeforeValidator(lambda value: {"": value} if isinstance(value, str) else value)]
AsText = Annotated[str, BeforeValidator(str)]


class TextEntry(Entry):
    """`[check.text.fr]`: a check's name, and what each scenario says, in one language."""

    name: Text
    title: ByScenario = Field(default_factory=dict)
    message: ByScenario = Field(default_factory=dict)
    solution: ByScenario = Field(default_factory=dict)

    def part(self, part: str, scenario: str) -> str:
        """Return the title, message or solution of a scenario, "" if there is none."""
        texts: dict[str, str] = getattr(self, part)
        return texts.get(scenario) or texts.get("", "")


class LanguagesEntry(Entry):
    """`[check.text]`."""

    fr: TextEntry
    en: TextEntry


class CasesEntry(Entry):
    """`[check.cases]`: examples, see `cases`."""

    columns: StrictStr = ""
    tables: StrictStr
    today: Day | None = None


class CheckEntry(Entry):
    """`[[check]]`."""

    id: Annotated[
        StrictStr, matching(r"[A-Za-z][A-Za-z0-9_-]{0,63}", "is no id: a letter, then letters, digits, _ and -")
    ]
    version: AsText = "1"
    category: Text
    certainty: Certainty
    source: Text
    note: AsText = ""
    enabled: StrictBool | None = None
    covered_by: Text | None = None
    not_evaluable: Text | None = None
    text: LanguagesEntry
    test: tuple[TestEntry, ...] = ()
    cases: CasesEntry | None = None

    @property
    def status(self) -> Status:
        """Whether it is evaluated: checks whose source is uncertain only if they say so."""
        if self.covered_by:
            return Status.COVERED
        if self.not_evaluable:
            return Status.NOT_EVALUABLE
        enabled = self.certainty is not Certainty.UNCERTAIN if self.enabled is None else self.enabled
        return Status.ON if enabled else Status.OFF


class SwitchEntry(Entry):
    """`[[switch]]`: turns a shipped check on or off."""

    check: StrictStr
    enabled: StrictBool


class PackEntry(Entry):
    """A pack. Its parts are validated one by one, so that a mistake in one does not hide those of the others."""

    sets: dict[str, Any] = Field(default_factory=dict)
    check: tuple[dict[str, Any], ...] = ()
    switch: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class ScenarioText:
    """What a reader sees of one scenario, in one language."""

    name: str  # of the check
    title: str
    message: str
    solution: str


@dataclass(frozen=True, slots=True)
class Check:
    """A check of a pack, and where it is written."""

    id: str
    version: str
    category: str
    certainty: Certainty
    status: Status
    source: str
    path: Path
    line: int
    note: str = ""  # why it is off, or which core rule asks instead, or how the source was read
    tests: tuple[CheckTest, ...] = ()
    names: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))  # by language
    texts: Mapping[tuple[str, str], ScenarioText] = field(default_factory=lambda: MappingProxyType({}))
    cases: CasesEntry | None = None
    cases_line: int = 1  # of `tables` in the file

    @classmethod
    def of(cls, entry: CheckEntry, path: Path, line: int, cases_line: int) -> Check:
        """Return the check of an entry; texts are by (scenario, language)."""
        is_evaluated = entry.status in (Status.ON, Status.OFF)
        tests = entry.test if is_evaluated else ()
        languages = {language: getattr(entry.text, language) for language in LANGUAGES}
        return cls(
            id=entry.id,
            version=entry.version,
            category=entry.category,
            certainty=entry.certainty,
            status=entry.status,
            source=entry.source,
            path=path,
            line=line,
            note=entry.covered_by or entry.not_evaluable or entry.note,
            tests=tests,
            names={language: text.name for language, text in languages.items()},
            texts={
                (test.scenario, language): _scenario_text(text, test.scenario)
                for language, text in languages.items()
                for test in tests
            },
            cases=entry.cases,
            cases_line=cases_line,
        )


def _scenario_text(text: TextEntry, scenario: str) -> ScenarioText:
    title, message, solution = (text.part(part, scenario) for part in TEXT_PARTS)
    return ScenarioText(text.name, title or text.name, message, solution)


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
