"""The checks there are: those that are shipped, those of the user's folders, and those of installed packages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
from facnet_grpc.rules.checks.model import PackError, Problem, Status, Text

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


def load_packs(folders: Sequence[Path | str] = ()) -> tuple[Rule, ...]:
    """Return the rules that are on: shipped checks, those of `folders`, those of installed packages, by id.

    Raises `PackError` if a pack cannot be used, and `ValueError` if two rules have one id.
    """
    checks = load_checks(folders).checks
    rules: list[Rule] = [CheckRule.of(check) for check in checks if check.status is Status.ON]
    rules += discover()
    ids = [rule.info.id for rule in rules]
    if twice := sorted({rule_id for rule_id in ids if ids.count(rule_id) > 1}):
        raise ValueError(f"two rules have the id {twice[0]!r}")
    return tuple(sorted(rules, key=lambda rule: rule.info.id))


def discover() -> tuple[Rule, ...]:
    """Return the rules of installed packages: entry points of the group `facnet.rules`.

    Each names a function without arguments that returns rules.
    """
    found: list[Rule] = []
    for entry in sorted(entry_points(group=ENTRY_POINTS), key=lambda entry: entry.name):
        found += entry.load()()
    return tuple(found)


def for_run(rules: Iterable[Rule], today: date) -> tuple[Rule, ...]:
    """Return rules as of a day, ready for one file: checks share what they work out about it.

    `today` is the day on which the run was created, in Quebec: the same run gives the same results whenever it is
    worked on. Drop what is returned with the run; it holds on to the file's lines. Checks come last, so that other
    rules have the memory for themselves that those share.
    """
    desk = SharedCache()
    ready = [rule.for_run(today, desk) if isinstance(rule, CheckRule) else rule for rule in rules]
    return tuple(sorted(ready, key=lambda rule: isinstance(rule, CheckRule)))


def texts(rule_id: str, scenario: str, locale: str, folders: Sequence[Path | str] = ()) -> Text | None:
    """Return the texts of a check's scenario in a language (`fr`, `en`), None if it is no check's."""
    return _texts(tuple(str(folder) for folder in folders)).get((rule_id, scenario, locale))


def entries(locale: str, folders: Sequence[Path | str] = ()) -> Mapping[str, str]:
    """Return all texts of checks under the keys that catalogues of texts use, such as `A11.exceeded.message`."""
    found: dict[str, str] = {}
    for (rule_id, scenario, language), text in _texts(tuple(str(folder) for folder in folders)).items():
        if language == locale:
            found[f"{rule_id}.name"] = text.name
            found[f"{rule_id}.{scenario}.title"] = text.title
            found[f"{rule_id}.{scenario}.message"] = text.message
            found[f"{rule_id}.{scenario}.solution"] = text.solution
    return found


@cache
def _texts(folders: tuple[str, ...]) -> Mapping[tuple[str, str, str], Text]:
    return {
        (check.id, scenario, language): text
        for check in load_checks(folders).checks
        for (scenario, language), text in check.texts.items()
    }


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
