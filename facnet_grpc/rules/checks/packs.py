"""All packs: the shipped ones, those of the user's folders, those of installed packages, and the command for them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

from facnet_grpc.reference.snapshot import shipped as shipped_reference
from facnet_grpc.rules import packs
from facnet_grpc.rules.api import Rule
from facnet_grpc.rules.checks import cases
from facnet_grpc.rules.checks.compile import CheckRule, SharedCache
from facnet_grpc.rules.checks.loader import Packs, load
from facnet_grpc.rules.checks.schema import TEXT_PARTS, PackError, Problem
from facnet_grpc.texts.language import Locale
from facnet_grpc.texts.render import sentence

ENTRY_POINTS = "facnet.rules"
_SHIPPED = Path(packs.__file__).parent


@cache
def shipped() -> Packs:
    """Return the checks that come with the package; raises `PackError` if they cannot be read."""
    return load(sorted(_SHIPPED.glob("*.toml")))


def load_checks(folders: Iterable[Path | str] = ()) -> Packs:
    """Return the shipped checks and those of every `*.toml` in `folders`; raises `PackError` with all that is wrong."""
    problems = [Problem(Path(folder), 1, "is no folder") for folder in folders if not Path(folder).is_dir()]
    if problems:
        raise PackError(problems)
    paths = [path for folder in folders for path in sorted(Path(folder).glob("*.toml"))]
    return load(paths, shipped())


def discover() -> tuple[Rule, ...]:
    """Return the rules of installed packages: entry points of the group `facnet.rules`.

    Each names a function without arguments that returns rules.
    """
    found: list[Rule] = []
    for entry in sorted(entry_points(group=ENTRY_POINTS), key=lambda entry: entry.name):
        found += entry.load()()
    return tuple(found)


def for_run(rules: Iterable[Rule], today: date) -> tuple[Rule, ...]:
    """Return rules as of a day, ready for one file: checks share the columns that they prepare.

    `today` is the day on which the run was created, in Quebec: the same run gives the same results whenever it is
    evaluated. The rules keep the file's lines in memory: drop them with the run. Checks come last, so that their shared
    columns are not in memory while other rules are evaluated.
    """
    cache = SharedCache()
    ready = [rule.for_run(today, cache) if isinstance(rule, CheckRule) else rule for rule in rules]
    return tuple(sorted(ready, key=lambda rule: isinstance(rule, CheckRule)))


@cache
def entries(locale: str, folder: Path | None = None) -> Mapping[str, str]:
    """Return all texts of checks in a language, by the keys of text catalogues, such as `A11.exceeded.message`."""
    found: dict[str, str] = {}
    for check in load_checks([folder] if folder else []).checks:
        for (scenario, language), text in check.texts.items():
            if language == locale:
                found[f"{check.id}.name"] = text.name
                for part in TEXT_PARTS:
                    found[f"{check.id}.{scenario}.{part}"] = getattr(text, part)
    return found


def validate_pack(path: Path | str) -> tuple[Problem, ...]:
    """Return what is wrong with a pack that would stand beside the shipped ones; nothing if it is fine."""
    try:
        found = load([Path(path)], shipped())
    except PackError as error:
        return tuple(error.problems)
    return tuple(_case_problems(found, Path(path)))


def _case_problems(found: Packs, path: Path) -> list[Problem]:
    problems = []
    for check in found.checks:
        if check.path != path:
            continue
        try:
            cases.of_check(check)
        except cases.CaseError as error:
            problems.append(Problem(path, error.line, error.sentence))
    return problems


@dataclass(frozen=True, slots=True)
class PackReport:
    """How the cases of a pack went."""

    passed: int
    failures: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether every case was as expected."""
        return not self.failures


def test_pack(path: Path | str) -> PackReport:
    """Run the cases of a pack against the shipped reference; what is wrong with the pack itself is a failure too."""
    path = Path(path)
    if problems := validate_pack(path):
        return PackReport(0, problems)
    found = load([path], shipped())
    failures, passed = [], 0
    for check in found.checks:
        if check.path != path:
            continue
        for case in cases.of_check(check):
            failure = case.failure(shipped_reference())
            passed += not failure
            if failure:
                failures.append(Problem(path, case.line, f"{check.id}, {case.title}: {failure}"))
    return PackReport(passed, tuple(failures))


test_pack.__test__ = False  # type: ignore[attr-defined] # not a test of ours: users test their packs with it


def write_report(verb: str, pack: Path, write: Callable[[str], object], *, language: str, as_json: bool) -> bool:
    """Write the problems of a pack (`validate`) or the failures of its cases (`test`); return whether there are none.

    One line (of JSON if `as_json`) for each problem, and one in the end for the pack.
    """
    if verb == "test":
        tested = test_pack(pack)
        problems, passed = tested.failures, tested.passed
    else:
        problems, passed = validate_pack(pack), 0
    for problem in problems:
        fields = {"file": str(problem.path), "line": problem.line, "problem": problem.sentence}
        write((json.dumps(fields, ensure_ascii=False) if as_json else str(problem)) + "\n")
    summary = {"pack": str(pack), "ok": not problems, "problems": len(problems), "passed": passed}
    key = f"pack.{verb}.{'wrong' if problems else 'fine'}"
    text = sentence(key, Locale(language), pack=str(pack), count=len(problems) or passed)
    write((json.dumps(summary, ensure_ascii=False) if as_json else text) + "\n")
    return not problems
