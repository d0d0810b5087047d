"""The rules that exist, in the order in which they run and in which their results are listed: by id.

Core rules, the checks of the shipped packs, those of a folder of the user's, and rules of installed packages.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
class RegistryEntry:
    """A rule and its status. `rule` is None for a check that is documented and cannot be evaluated."""

    info: RuleInfo
    rule: Rule | None
    status: Status = Status.ON
    note: str = ""  # the core rule that covers it, or why it cannot be evaluated
    # by language, for rules whose name is not in the text catalogues
    names: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def enabled(self) -> bool:
        """Whether it runs when no rule is asked for by name."""
        return self.status is Status.ON


class Registry:
    """All rules of a process."""

    def __init__(self, entries: Iterable[RegistryEntry], version: str) -> None:
        """Raises `ValueError` if two entries have the same id."""
        self.entries = tuple(sorted(entries, key=lambda entry: entry.info.id))
        self.version = version
        ids = [one.info.id for one in self.entries]
        if twice := sorted({rule_id for rule_id in ids if ids.count(rule_id) > 1}):
            raise ValueError(f"two rules have the id {twice[0]!r}")

    @classmethod
    def of(cls, *rules: Rule) -> Self:
        """Return a registry of just these rules."""
        return cls([RegistryEntry(rule.info, rule) for rule in rules], "of")

    def select(self, rule_ids: Iterable[str]) -> tuple[Rule, ...]:
        """Return these rules in order of id, also ones that are off, or all that are on if none is named.

        Raises `InvalidInput` for one that does not exist or cannot be run.
        """
        wanted = set(rule_ids)
        runnable = {one.info.id: one.rule for one in self.entries if one.rule is not None}
        if unknown := sorted(wanted - runnable.keys()):
            # Only how many: what a caller wrote is not repeated in logs.
            raise InvalidInput(field="rule_ids", unknown=len(unknown), known=sorted(runnable))
        if wanted:
            return tuple(rule for rule_id, rule in runnable.items() if rule_id in wanted)
        return tuple(one.rule for one in self.entries if one.rule is not None and one.enabled)

    def select_known(self, rule_ids: Iterable[str]) -> tuple[Rule, ...]:
        """Return what `select` does, without the ids that no rule has any more."""
        wanted = set(rule_ids)
        known = {one.info.id for one in self.entries if one.rule is not None}
        return self.select(wanted & known) if not wanted or wanted & known else ()

    def get(self, rule_id: str) -> RegistryEntry:
        """Return one rule. Raises `NotFound` (RULE_NOT_FOUND)."""
        for one in self.entries:
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
        entries = [RegistryEntry(rule.info, rule) for rule in (*RULES, *packs.discover())]
        entries += [_entry_of_check(check) for check in packs.load_checks(folders).checks]
        return Registry(entries, _version(folders))
    except ValueError as error:
        raise SettingsError(f"{variable('rule_packs_dir')}: these packs cannot be used.\n{error}") from None


def select(rule_ids: Iterable[str]) -> tuple[Rule, ...]:
    """Return rules that come with the package; see `Registry.select`."""
    return load().select(rule_ids)


def for_run(rules: Sequence[Rule], created_at: datetime) -> tuple[Rule, ...]:
    """Return rules ready for one run. Drop them with it: they hold on to its lines."""
    today = day_in_quebec(created_at)
    return packs.for_run(
        [replace(rule, today=today) if isinstance(rule, AnnualVisit) else rule for rule in rules], today
    )


@cache
def rule_set_version() -> str:
    """Return a short hash of everything that a result depends on: code of the rules, packs, parameters."""
    digest = hashlib.sha256()
    for name, file in sorted(_sources(files("facnet_grpc.rules"), "")):
        digest.update(f"{name}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()[:VERSION_DIGITS]


def _entry_of_check(check: Check) -> RegistryEntry:
    if check.status in (Status.ON, Status.OFF):
        rule = CheckRule.of(check)
        return RegistryEntry(rule.info, rule, check.status, check.note, check.names)
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
    return RegistryEntry(info, None, check.status, check.note, check.names)


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
