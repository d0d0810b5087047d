"""The rules that exist, in the order in which they run and in which their results are listed: by id."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from facnet_grpc.errors import InvalidInput
from facnet_grpc.rules.base import Rule
from facnet_grpc.rules.catalog.annual_visit import AnnualVisit
from facnet_grpc.rules.catalog.clinical_intervention import ClinicalIntervention
from facnet_grpc.rules.catalog.gmf_supplement import GmfSupplement
from facnet_grpc.rules.catalog.office_fee import OfficeFee
from facnet_grpc.rules.catalog.visit_duration import VisitDuration

RULES: tuple[Rule, ...] = (
    AnnualVisit(),
    ClinicalIntervention(),
    GmfSupplement(),
    OfficeFee(),
    VisitDuration(),
)


def select(rule_ids: Iterable[str]) -> tuple[Rule, ...]:
    """Return these rules in order of id, or all if none is named; raises `InvalidInput` for an unknown one."""
    wanted = set(rule_ids)
    known = {rule.info.id for rule in RULES}
    if unknown := sorted(wanted - known):
        # Only how many: what a caller wrote is not repeated in logs.
        raise InvalidInput(field="rule_ids", unknown=len(unknown), known=sorted(known))
    return tuple(rule for rule in RULES if not wanted or rule.info.id in wanted)


@cache
def rule_set_version() -> str:
    """Return a short hash of everything that a result depends on: code of the rules, packs, parameters."""
    digest = hashlib.sha256()
    for name, file in sorted(_sources(files("facnet_grpc.rules"), "")):
        digest.update(f"{name}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def _sources(folder: Traversable, prefix: str) -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _sources(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith((".py", ".toml")):
            yield prefix + entry.name, entry
