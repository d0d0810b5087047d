"""Reads packs: TOML files with checks, their texts and cases, and code sets. Says all that is wrong at once."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from facnet_grpc.model.result import Certainty
from facnet_grpc.rules.checks import check_tests, check_texts, fields
from facnet_grpc.rules.checks.locate import Locator
from facnet_grpc.rules.checks.model import Cases, Check, PackError, Problem, Status, Test

_ID = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_TOML_LINE = re.compile(r"\(at line (\d+)")
_TOP = frozenset({"check", "sets", "switch"})
_CHECK_KEYS = frozenset(
    {
        *("id", "version", "category", "certainty", "source", "note", "enabled", "covered_by", "not_evaluable"),
        *("text", "test", "cases"),
    },
)
_CASE_KEYS = frozenset({"columns", "tables", "today"})


@dataclass(frozen=True, slots=True)
class Packs:
    """All checks of some packs, in order of id, and the code sets that they were written with."""

    checks: tuple[Check, ...]
    sets: Mapping[str, frozenset[str]]


def load(paths: Iterable[Path], known: Packs | None = None) -> Packs:
    """Read packs, on top of those in `known`; raises `PackError` with every problem of every file."""
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
    data: Mapping[str, Any]
    locator: Locator
    problems: list[Problem] = field(default_factory=list)

    @classmethod
    def of(cls, path: Path) -> _File:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            return cls(path, {}, Locator(""), [Problem(path, 1, f"cannot be read: {type(error).__name__}")])
        try:
            return cls(path, tomllib.loads(text), Locator(text))
        except tomllib.TOMLDecodeError as error:
            match = _TOML_LINE.search(str(error))
            return cls(path, {}, Locator(""), [Problem(path, int(match[1]) if match else 1, f"is no TOML: {error}")])

    def blame(self, sentence: str, *path: str | int) -> None:
        """Note a problem where `path` stands."""
        self.problems.append(Problem(self.path, self.locator.line(*path), sentence))

    def _codes(self, value: Any, sets: fields.Sets, name: str) -> frozenset[str] | None:
        try:
            return fields.codes(value, sets)
        except ValueError as error:
            self.blame(str(error), "sets", name)
            return None

    def read_sets(self, sets: dict[str, frozenset[str]]) -> None:
        for key in self.data:
            if key not in _TOP:
                self.blame(f"a pack has {', '.join(sorted(_TOP))}, not {key!r}", key)
        for name, value in self._table(self.data, "sets").items():
            if name in sets:
                self.blame(f"there is a code set {name!r} already", "sets", name)
            elif (codes := self._codes(value, sets, name)) is not None:
                sets[name] = codes

    def read_checks(self, sets: Mapping[str, frozenset[str]], checks: dict[str, Check]) -> None:
        for index, data in enumerate(self._tables(self.data, "check")):
            check = _CheckReader(self, data, ("check", index), sets).read()
            if check is None:
                continue
            if check.id in checks:
                first = checks[check.id]
                self.blame(
                    f"there is a check {check.id!r} already, in {first.path.name} line {first.line}",
                    "check",
                    index,
                    "id",
                )
            else:
                checks[check.id] = check

    def read_switches(self, checks: dict[str, Check]) -> None:
        """Turn shipped checks on or off."""
        for index, data in enumerate(self._tables(self.data, "switch")):
            check = checks.get(str(data.get("check")))
            if set(data) != {"check", "enabled"} or not isinstance(data.get("enabled"), bool):
                self.blame("a switch has check and enabled (true or false)", "switch", index)
            elif check is None or check.status not in (Status.ON, Status.OFF):
                self.blame(f"there is no check {data['check']!r} to turn on or off", "switch", index, "check")
            else:
                checks[check.id] = replace(check, status=Status.ON if data["enabled"] else Status.OFF)

    def _table(self, data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        value = data.get(key, {})
        if isinstance(value, dict):
            return value
        self.blame(f"[{key}] has to be a table", key)
        return {}

    def _tables(self, data: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
        value = data.get(key, [])
        if isinstance(value, list) and all(isinstance(item, dict) for item in value):
            return value
        self.blame(f"write [[{key}]] for each {key}", key)
        return []


@dataclass(frozen=True, slots=True)
class _CheckReader:
    file: _File
    data: Mapping[str, Any]
    at: tuple[str | int, ...]
    sets: Mapping[str, frozenset[str]]

    def read(self) -> Check | None:
        before = len(self.file.problems)
        for key in self.data:
            if key not in _CHECK_KEYS:
                self.file.blame(f"a check has no {key!r}; it has {', '.join(sorted(_CHECK_KEYS))}", *self.at, key)
        check_id = self._text("id")
        if check_id and not _ID.fullmatch(check_id):
            self.file.blame(f"{check_id!r} is no id: letters, digits, _ and -, a letter first", *self.at, "id")
        certainty = self._certainty()
        status, note = self._status(certainty)
        tests = self._tests(certainty) if status in (Status.ON, Status.OFF) else ()
        names, texts = check_texts.read(self.data, tests, lambda text, *path: self.file.blame(text, *self.at, *path))
        category, source = self._text("category"), self._text("source")
        cases = self._cases()
        if len(self.file.problems) > before:
            return None
        return Check(
            id=check_id,
            version=str(self.data.get("version", "1")),
            category=category,
            certainty=certainty,
            status=status,
            source=source,
            path=self.file.path,
            line=self.file.locator.line(*self.at),
            note=note,
            tests=tests,
            names=names,
            texts=texts,
            cases=cases,
        )

    def _text(self, key: str) -> str:
        value = self.data.get(key)
        if isinstance(value, str) and value.strip():
            return value
        self.file.blame(f"a check needs {key}, a text", *self.at, key)
        return ""

    def _certainty(self) -> Certainty:
        with suppress(ValueError):
            return Certainty(self.data.get("certainty", ""))
        self.file.blame(f"certainty is one of {', '.join(Certainty)}", *self.at, "certainty")
        return Certainty.UNCERTAIN

    def _status(self, certainty: Certainty) -> tuple[Status, str]:
        note = str(self.data.get("note", ""))
        if "covered_by" in self.data:
            return Status.COVERED, self._text("covered_by")
        if "not_evaluable" in self.data:
            return Status.NOT_EVALUABLE, self._text("not_evaluable")
        enabled = self.data.get("enabled", certainty != Certainty.UNCERTAIN)
        if not isinstance(enabled, bool):
            self.file.blame("enabled is true or false", *self.at, "enabled")
        return (Status.ON if enabled else Status.OFF), note

    def _tests(self, certainty: Certainty) -> tuple[Test, ...]:
        blame = self.file.blame
        value = self.data.get("test")
        if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
            blame("a check needs at least one [[check.test]]", *self.at, "test")
            return ()
        tests: list[Test] = []
        for index, data in enumerate(value):
            path = (*self.at, "test", index)
            reader = check_tests.TestReader(
                data, certainty, self.sets, lambda text, *more, path=path: blame(text, *path, *more)
            )
            test = reader.read()
            if test is not None:
                tests.append(test)
        for index in check_tests.overlaps(tests):
            blame(f"two tests of scenario {tests[index].scenario!r} hold on the same day", *self.at, "test", index)
        return tuple(tests)

    def _cases(self) -> Cases | None:
        data = self.data.get("cases")
        if data is None:
            return None
        today = data.get("today") if isinstance(data, dict) else None
        if not isinstance(data, dict) or not set(data) <= _CASE_KEYS or not isinstance(data.get("tables"), str):
            self.file.blame("[check.cases] has columns, tables and may have today", *self.at, "cases")
            return None
        if today is not None and not isinstance(today, date):
            self.file.blame("today is a date such as 2025-06-30", *self.at, "cases", "today")
        return Cases(
            str(data.get("columns", "")), data["tables"], today, self.file.locator.line(*self.at, "cases", "tables")
        )
