"""Reference data as the rules use it: an immutable version, the same for all rules of a run.

Shipped with the package: codes, places and tariffs of the RAMQ manual for general practitioners (fee for service,
tariffs in force on 2019-10-01), and the RAMQ's list of context elements. Establishments are not shipped: the RAMQ
publishes no list of GMF sites that can be redistributed, so rules that need one report that they were not evaluated.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from importlib.resources import files
from types import MappingProxyType

CABINET = "cabinet"
ESTABLISHMENT = "etablissement"
ANYWHERE = "all"

# The date of the manual that the shipped tariffs are from.
TARIFF_DATE = date(2019, 10, 1)
_FILES = ("codes.csv", "contexts.csv")


@dataclass(frozen=True, slots=True)
class CodeEntry:
    """A code of the manual at one class of place, with its tariff from `valid_from` on."""

    code: str  # 5 digits
    place: str  # all, cabinet, etablissement, laboratoire_r7, hopital_r1, variant
    tariff_cents: int | None  # None where the manual gives base units or no amount
    base_units: int | None
    tab: str  # letter of the manual's tab
    label: str
    valid_from: date = TARIFF_DATE


@dataclass(frozen=True, slots=True)
class Establishment:
    """A place of practice."""

    number: str  # 5 digits
    gmf: bool  # whether it is a site of a GMF (groupe de médecine de famille)
    name: str = ""
    type: str = ""  # such as CLSC, CH, GMF-U, cabinet


@dataclass(frozen=True, slots=True)
class ContextElement:
    """A context element as the RAMQ lists it."""

    token: str
    label: str
    ends_on: date | None = None  # last day on which it may be used


@dataclass(frozen=True, slots=True)
class ReferenceSnapshot:
    """Codes, establishments and context elements by their keys, under a version name."""

    version: str
    codes: Mapping[str, tuple[CodeEntry, ...]] = field(default_factory=lambda: MappingProxyType({}))
    establishments: Mapping[str, Establishment] = field(default_factory=lambda: MappingProxyType({}))
    contexts: Mapping[str, ContextElement] = field(default_factory=lambda: MappingProxyType({}))
    _by_tab: dict[str, frozenset[str]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def codes_of_tab(self, tab: str) -> frozenset[str]:
        """Return the codes in a tab of the manual."""
        if tab not in self._by_tab:  # cached: scanning all codes takes longer than the rules of a small file
            self._by_tab[tab] = frozenset(
                code for code, entries in self.codes.items() if any(entry.tab == tab for entry in entries)
            )
        return self._by_tab[tab]

    def tariff_cents(self, code: str, place: str, on: date) -> int | None:
        """Return the tariff of `code` at a class of place on a day; None if the manual gives none.

        An entry for the class wins over one for all places. Before the first known tariff, that one stands.
        """
        known = [entry for entry in self.codes.get(code, ()) if entry.tariff_cents is not None]
        at_place = [entry for entry in known if entry.place == place] or [e for e in known if e.place == ANYWHERE]
        in_force = [entry for entry in at_place if entry.valid_from <= on]
        if in_force:
            return max(in_force, key=lambda entry: entry.valid_from).tariff_cents
        return min(at_place, key=lambda entry: entry.valid_from).tariff_cents if at_place else None


@cache
def shipped() -> ReferenceSnapshot:
    """Return the reference data in the package."""
    digest = hashlib.sha256()
    for name in _FILES:
        digest.update(_data(name).encode())
    return ReferenceSnapshot(
        version=f"{TARIFF_DATE.isoformat()}-{digest.hexdigest()[:8]}",
        codes=MappingProxyType(_codes()),
        contexts=MappingProxyType({element.token: element for element in _contexts()}),
    )


def _codes() -> dict[str, tuple[CodeEntry, ...]]:
    by_code: dict[str, list[CodeEntry]] = {}
    for row in _rows("codes.csv"):
        entry = CodeEntry(
            code=row["code"],
            place=row["place"],
            tariff_cents=int(row["tariff_cents"]) if row["tariff_cents"] else None,
            base_units=int(row["base_units"]) if row["base_units"] else None,
            tab=row["tab"],
            label=row["label"],
        )
        by_code.setdefault(entry.code, []).append(entry)
    return {code: tuple(entries) for code, entries in by_code.items()}


def _contexts() -> Iterator[ContextElement]:
    for row in _rows("contexts.csv"):
        ends_on = date.fromisoformat(row["ends_on"]) if row["ends_on"] else None
        yield ContextElement(row["context"].upper(), row["label"], ends_on)


def _rows(name: str) -> Iterator[dict[str, str]]:
    lines = (line for line in _data(name).splitlines() if not line.startswith("#"))
    return iter(csv.DictReader(lines))


def _data(name: str) -> str:
    return (files("facnet_grpc.reference") / "data" / name).read_text(encoding="utf-8")
