"""The rules that exist, in the order in which they run and in which their results are listed: by id.

Core rules, the checks of the shipped packs, those of a folder of the user's, and rules of installed packages.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from importlib.metadata import entry_points
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType
from typing import Self

from facnet_grpc.calendar import day_in_quebec
from facnet_grpc.errors import InvalidInput, NotFound, Reason
from facnet_grpc.model.result import Certainty
from facnet_grpc.rules.api import Rule, RuleInfo
from facnet_grpc.rules.catalog.annual_visit import AnnualVisit
from facnet_grpc.rules.catalog.clinical_intervention import ClinicalIntervention
from facnet_grpc.rules.catalog.gmf_supplement import GmfSupplement
from facnet_grpc.rules.catalog.office_fee.rule import OfficeFee
from facnet_grpc.rules.catalog.visit_duration import VisitDuration
from facnet_grpc.rules.checks import packs
from facnet_grpc.rules.checks.compile import CheckRule
from facnet_grpc.rules.checks.packs import ENTRY_POINTS
from facnet_grpc.rules.checks.schema import Check, Status
from facnet_grpc.settings.environment import SettingsError, variable

RULES: tuple[Rule, ...] = (
    AnnualVisit(),
    ClinicalIntervention(),
    GmfSupplement(),
    OfficeFee(),
    VisitDuration(),
)
VERSION_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Listed:
    """A rule as the registry lists it. `rule` is None for a check that is documented and cannot be run."""

    info: RuleInfo
    rule: Rule | None
    status: Status = Status.ON
    note: str = ""  # which core rule asks instead, or why it cannot be run
    names: Mapping[str, str] = field(
        default_factory=lambda: MappingProxyType({})
    )  # by language, if the texts do not have them

    @property
    def enabled(self) -> bool:
        """Whether it runs when no rule is asked for by name."""
        return self.status is Status.ON


class Registry:
    """All rules of a process."""

    def __init__(self, listed: Iterable[Listed], version: str) -> None:
        """List rules. Raises `ValueError` if two have the same id."""
        self.listed = tuple(sorted(listed, key=lambda one: one.info.id))
        self.version = version
        ids = [one.info.id for one in self.listed]
        if twice := sorted({rule_id for rule_id in ids if ids.count(rule_id) > 1}):
            raise ValueError(f"two rules have the id {twice[0]!r}")

    @classmethod
    def of(cls, *rules: Rule) -> Self:
        """Return a registry of just these rules."""
        return cls([Listed(rule.info, rule) for rule in rules], "of")

    def select(self, rule_ids: Iterable[str]) -> tuple[Rule, ...]:
        """Return these rules in order of id, also ones that are off, or all that are on if none is named.

        Raises `InvalidInput` for one that does not exist or cannot be run.
        """
        wanted = set(rule_ids)
        runnable = {one.info.id: one.rule for one in self.listed if one.rule is not None}
        if unknown := sorted(wanted - runnable.keys()):
            # Only how many: what a caller wrote is not repeated in logs.
            raise InvalidInput(field="rule_ids", unknown=len(unknown), known=sorted(runnable))
        if wanted:
            return tuple(rule for rule_id, rule in runnable.items() if rule_id in wanted)
        return tuple(one.rule for one in self.listed if one.rule is not None and one.enabled)

    def still(self, rule_ids: Iterable[str]) -> tuple[Rule, ...]:
        """Return what `select` does, leaving out rules that an earlier version of the rules had."""
        wanted = set(rule_ids)
        known = {one.info.id for one in self.listed if one.rule is not None}
        return self.select(wanted & known) if not wanted or wanted & known else ()

    def get(self, rule_id: str) -> Listed:
        """Return one rule. Raises `NotFound` (RULE_NOT_FOUND)."""
        for one in self.listed:
            if one.info.id == rule_id:
                return one
        raise NotFound(Reason.RULE_NOT_FOUND)


@cache
def load(folder: Path | None = None) -> Registry:
    """Return all rules there are, with the packs in `folder`; they are read once per process.

    Raises `SettingsError` with one line for each thing that is wrong with a pack: file, line and sentence.
    """
    folders = [folder] if folder else []
    try:
        listed = [Listed(rule.info, rule) for rule in (*RULES, *packs.discover())]
        listed += [_check(check) for check in packs.load_checks(folders).checks]
        return Registry(listed, _version(folders))
    except ValueError as error:
        raise SettingsError(f"{variable('rule_packs_dir')}: these packs cannot be used.\n{error}") from None


def select(rule_ids: Iterable[str]) -> tuple[Rule, ...]:
    """Return rules that come with the package; see `Registry.select`."""
    return load().select(rule_ids)


def for_run(rules: Sequence[Rule], created_at: datetime) -> tuple[Rule, ...]:
    """Return rules ready for one run. Drop them with it: they hold on to its lines."""
    return packs.for_run(rules, day_in_quebec(created_at))


@cache
def rule_set_version() -> str:
    """Return a short hash of everything that a result depends on: code of the rules, packs, parameters."""
    digest = hashlib.sha256()
    for name, file in sorted(_sources(files("facnet_grpc.rules"), "")):
        digest.update(f"{name}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()[:VERSION_DIGITS]


def _check(check: Check) -> Listed:
    if check.status in (Status.ON, Status.OFF):
        rule = CheckRule.of(check)
        return Listed(rule.info, rule, check.status, check.note, check.names)
    info = RuleInfo(
        id=check.id,
        version=check.version,
        category=check.category,
        certainty=Certainty(check.certainty),
        severities=(),
        scenarios=(),
        needs=(),
        source=check.source,
    )
    return Listed(info, None, check.status, check.note, check.names)


def _version(folders: Iterable[Path]) -> str:
    """Return the version of the shipped rules, and if there are others, one that changes with them."""
    theirs = [
        path.name.encode() + b"\0" + path.read_bytes() for folder in folders for path in sorted(folder.glob("*.toml"))
    ]
    theirs += [
        f"{entry.name}\0{entry.value}\0{entry.dist.version if entry.dist else ''}".encode()
        for entry in sorted(entry_points(group=ENTRY_POINTS), key=lambda entry: entry.name)
    ]
    if not theirs:
        return rule_set_version()
    digest = hashlib.sha256(b"\0".join([rule_set_version().encode(), *theirs]))
    return digest.hexdigest()[:VERSION_DIGITS]


def _sources(folder: Traversable, prefix: str) -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _sources(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith((".py", ".toml")):
            yield prefix + entry.name, entry
