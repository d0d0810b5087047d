"""Reads packs, TOML files with checks, texts, cases and code sets; reports all problems with file and line."""

from __future__ import annotations

import itertools
import re
import reprlib
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from facnet_grpc.model.result import Certainty, Severity
from facnet_grpc.rules.checks.primitives.base import CheckTest, Codes, Entry
from facnet_grpc.rules.checks.primitives.combinations import Pair
from facnet_grpc.rules.checks.primitives.lines import Window
from facnet_grpc.rules.checks.schema import (
    LANGUAGES,
    PRIMITIVES,
    TEXT_PARTS,
    CasesEntry,
    Check,
    CheckEntry,
    LanguagesEntry,
    PackEntry,
    PackError,
    Problem,
    Status,
    SwitchEntry,
    TextEntry,
)

# What every result offers to a text.
COMMON_FACTS = frozenset({"code", "doctor", "service_date", "record_number", "records", "at_risk", "potential_gain"})

Sets = Mapping[str, frozenset[str]]
Location = tuple[str | int, ...]
Model = TypeVar("Model", bound=Entry)

_CODES: TypeAdapter[frozenset[str]] = TypeAdapter(Codes)
_TOML_LINE = re.compile(r"\(at line (\d+)")
_PLACEHOLDER = re.compile(r"\{(\w*)\}")
# What the tables of a pack are called in sentences, by their key.
_TABLES: Mapping[str, tuple[str, type[Entry]]] = {
    "check": ("a check", CheckEntry),
    "switch": ("a switch", SwitchEntry),
    "text": ("[check.text]", LanguagesEntry),
    **{language: (f"[check.text.{language}]", TextEntry) for language in LANGUAGES},
    "cases": ("[check.cases]", CasesEntry),
    "windows": ("a window", Window),
    "pairs": ("a pair", Pair),
}


@dataclass(frozen=True, slots=True)
class Packs:
    """All checks of some packs, in order of id, and the code sets that they were written with."""

    checks: tuple[Check, ...]
    sets: Sets


def load(paths: Iterable[Path], known: Packs | None = None) -> Packs:
    """Read packs, in addition to those in `known`; raises `PackError` with every problem of every file."""
    files = [_File.of(path) for path in paths]
    sets = dict(known.sets) if known else {}
    for file in files:
        file.read_sets(sets)
    checks = {check.id: check for check in known.checks} if known else {}
    for file in files:
        file.read_checks(sets, checks)
    for file in files:
        file.read_switches(checks)
    if problems := [problem for file in files for problem in file.problems]:
        raise PackError(problems)
    return Packs(tuple(checks[key] for key in sorted(checks)), sets)


@dataclass(slots=True)
class _File:
    path: Path
    lines: TomlLines
    pack: PackEntry = field(default_factory=PackEntry)
    problems: list[Problem] = field(default_factory=list)

    @classmethod
    def of(cls, path: Path) -> _File:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            return cls(path, TomlLines(""), problems=[Problem(path, 1, f"cannot be read: {type(error).__name__}")])
        try:
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            match = _TOML_LINE.search(str(error))
            problem = Problem(path, int(match[1]) if match else 1, f"is no TOML: {error}")
            return cls(path, TomlLines(""), problems=[problem])
        file = cls(path, TomlLines(text))
        file.pack = file._validate(PackEntry, data, (), {}) or file.pack
        return file

    def _report(self, location: Location, sentence: str) -> None:
        self.problems.append(Problem(self.path, self.lines.line(location), sentence))

    def _report_all(self, error: ValidationError, location: Location) -> None:
        for one in error.errors():
            where = (*location, *one["loc"])
            self._report((*where, "primitive") if one["type"].startswith("union_tag") else where, _sentence(one, where))

    def _validate(self, model: type[Model], data: Any, location: Location, sets: Sets) -> Model | None:
        try:
            return model.model_validate(data, context=sets)
        except ValidationError as error:
            self._report_all(error, location)
            return None

    def read_sets(self, sets: dict[str, frozenset[str]]) -> None:
        """Add the pack's code sets; a set may refer to those before it."""
        for name, value in self.pack.sets.items():
            if name in sets:
                self._report(("sets", name), f"there is a code set {name!r} already")
                continue
            try:
                sets[name] = _CODES.validate_python(value, context=sets)
            except ValidationError as error:
                self._report_all(error, ("sets", name))

    def read_checks(self, sets: Sets, checks: dict[str, Check]) -> None:
        """Add the pack's checks that have no problem."""
        for index, data in enumerate(self.pack.check):
            at = ("check", index)
            entry = self._validate(CheckEntry, data, at, sets)
            if entry is None:
                continue
            problems = list(_problems(entry))
            for location, sentence in problems:
                self._report((*at, *location), sentence)
            if entry.id in checks:
                first = checks[entry.id]
                where = f"{first.path.name} line {first.line}"
                self._report((*at, "id"), f"there is a check {entry.id!r} already, in {where}")
            elif not problems:
                cases_line = self.lines.line((*at, "cases", "tables"))
                checks[entry.id] = Check.of(entry, self.path, self.lines.line(at), cases_line)

    def read_switches(self, checks: dict[str, Check]) -> None:
        """Turn checks on or off."""
        for index, data in enumerate(self.pack.switch):
            switch = self._validate(SwitchEntry, data, ("switch", index), {})
            if switch is None:
                continue
            check = checks.get(switch.check)
            if check is None or check.status not in (Status.ON, Status.OFF):
                self._report(("switch", index, "check"), f"there is no check {switch.check!r} to turn on or off")
            else:
                checks[check.id] = replace(check, status=Status.ON if switch.enabled else Status.OFF)


def _sentence(error: ErrorDetails, where: Location) -> str:
    """Return what is wrong and what to do, in terms of the pack and not of Python."""
    names = [part for part in where if isinstance(part, str) and part != "[key]"]
    key, around = (names[-1], names[:-1]) if names else ("", [])
    owner, keys = _owner(around)
    match error["type"]:
        case "union_tag_invalid":
            return f"there is no primitive {error['ctx']['tag']!r}; there are {', '.join(sorted(PRIMITIVES))}"
        case "union_tag_not_found":
            return "a test needs a primitive"
        case "missing":
            return f"{owner} needs {key}"
        case "extra_forbidden":
            return f"{owner} does not know {key!r}; it has {', '.join(keys) or 'no parameters of its own'}"
        case "value_error":
            problem = str(error["ctx"]["error"])
        case _:
            wanted = error["msg"].removeprefix("Input should ").replace("tuple", "list")
            problem = f"should {wanted}, not {reprlib.repr(error['input'])}"
    return problem if key in PRIMITIVES or not key else f"{key}: {problem}"


def _owner(names: Sequence[str]) -> tuple[str, Sequence[str]]:
    """Return what the innermost table around a key is called, and the keys that it may have."""
    for name in reversed(names):
        if name in PRIMITIVES:
            return name, list(PRIMITIVES[name].parameters())
        if name in _TABLES:
            title, model = _TABLES[name]
            return title, [info.alias or key for key, info in model.model_fields.items()]
    return "a pack", sorted(PackEntry.model_fields)


def _problems(entry: CheckEntry) -> Iterator[tuple[Location, str]]:
    """Yield what is wrong between the tables of a check, and where."""
    if entry.status not in (Status.ON, Status.OFF):
        return
    if not entry.test:
        yield ("test",), "a check needs at least one [[check.test]]"
    for index, test in enumerate(entry.test):
        certainty = test.certainty or entry.certainty
        if test.severity is Severity.ERROR and certainty is not Certainty.CERTAIN:
            yield ("test", index, "severity"), f"a {certainty} test may not be an error"
    for index in _overlaps(entry.test):
        yield ("test", index), f"two tests of scenario {entry.test[index].scenario!r} hold on the same day"
    for language in LANGUAGES:
        for part, sentence in _text_problems(getattr(entry.text, language), entry.test):
            yield ("text", language, *part), sentence


def _overlaps(tests: Sequence[CheckTest]) -> list[int]:
    """Return the positions of tests that hold on a day of an earlier one of the same scenario."""
    found = set()
    for (_, one), (index, other) in itertools.combinations(enumerate(tests), 2):
        first = max(one.first_day or date.min, other.first_day or date.min)
        last = min(one.last_day or date.max, other.last_day or date.max)
        if one.scenario == other.scenario and first <= last:
            found.add(index)
    return sorted(found)


def _text_problems(text: TextEntry, tests: Sequence[CheckTest]) -> Iterator[tuple[Location, str]]:
    for test, part in itertools.product(tests, TEXT_PARTS):
        value = text.part(part, test.scenario)
        if not value and part != "title":
            yield (part,), f"{part} of scenario {test.scenario!r} is missing"
        offered = COMMON_FACTS.union(test.facts, (fact.removesuffix("_cents") for fact in test.facts))
        for name in _PLACEHOLDER.findall(value):
            if name not in offered:
                yield (part,), f"{test.primitive} does not offer {{{name}}} to a text"
    for part in TEXT_PARTS:
        for scenario in sorted(getattr(text, part).keys() - {"", *(test.scenario for test in tests)}):
            yield (part, scenario), f"there is no scenario {scenario!r}"


class TomlLines:
    """Line numbers of tables and keys by their location, such as `("check", 0, "test", 1, "max")`.

    `tomllib` does not tell them.
    """

    _HEADER = re.compile(r"\s*(\[\[?)\s*([\w.\-\"' ]+?)\s*\]\]?\s*(?:#.*)?")
    _KEY = re.compile(r"\s*([\w\-\"'.]+)\s*=")

    def __init__(self, text: str) -> None:
        self._lines: dict[Location, int] = {(): 1}
        self._counts: dict[Location, int] = {}
        self._scan(text)

    def line(self, location: Location) -> int:
        """Return the line of the innermost table or key of a location; parts that are not in the file are skipped."""
        known: Location = ()
        for part in location:
            known = (*known, part) if (*known, part) in self._lines else known
        return self._lines[known]

    def _scan(self, text: str) -> None:
        table: Location = ()
        open_quote = ""
        for number, line in enumerate(text.splitlines(), 1):
            if open_quote:
                open_quote = "" if line.count(open_quote) % 2 else open_quote
                continue
            if match := self._HEADER.fullmatch(line):
                table = self._table(match[2].split("."), number, is_array=match[1] == "[[")
            elif match := self._KEY.match(line):
                self._note(table, match[1].split("."), number)
            open_quote = next((quote for quote in ('"""', "'''") if line.count(quote) % 2), "")

    def _table(self, names: list[str], number: int, *, is_array: bool) -> Location:
        parent: Location = ()
        for name in names[:-1]:
            parent = self._note(parent, [name], number)
            if parent in self._counts:
                parent = (*parent, self._counts[parent] - 1)
        location = self._note(parent, names[-1:], number)
        if is_array:
            self._counts[location] = self._counts.get(location, 0) + 1
            location = (*location, self._counts[location] - 1)
            self._lines[location] = number
        return location

    def _note(self, location: Location, names: list[str], number: int) -> Location:
        for name in names:
            location = (*location, name.strip(" \"'"))
            self._lines.setdefault(location, number)
        return location
