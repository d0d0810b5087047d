"""Reads one `[[check.test]]`."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from facnet_grpc.model.result import Certainty, Severity
from facnet_grpc.rules.checks import fields
from facnet_grpc.rules.checks.grouping import PARTS, SESSION
from facnet_grpc.rules.checks.model import Test, Where
from facnet_grpc.rules.checks.primitives.base import Field, Primitive
from facnet_grpc.rules.checks.primitives.registry import PRIMITIVES

Blame = Callable[..., None]

_SCENARIO = re.compile(r"[a-z][a-z0-9_]{0,47}")
_ALWAYS_THERE = frozenset({"doctor_key", "code", "service_date"})
_PLAIN = frozenset({"scenario", "primitive", "severity", "certainty", "group", "at_risk", "from", "to"})
# Which lines a test is about: name in the pack, name in `Where`, how it is written, and the column that it needs.
_WHERE: Mapping[str, tuple[Field, str]] = {
    "codes": (Field("codes"), ""),
    "except_codes": (Field("codes"), ""),
    "at": (Field("choice", choices=("cabinet", "establishment")), "place"),
    "places": (Field("texts"), "place"),
    "roles": (Field("texts"), "role"),
    "context": (Field("texts"), "context"),
    "except_context": (Field("texts"), ""),
}


@dataclass(frozen=True, slots=True)
class TestReader:
    """Reads a test; what is wrong goes to `blame(sentence, *path)`."""

    data: Mapping[str, Any]
    certainty: Certainty  # of the check
    sets: fields.Sets
    blame: Blame

    def read(self) -> Test | None:
        """Return the test, or None if something is wrong with it."""
        failed: list[str] = []
        complain = self.blame

        def blame(sentence: str, *path: str) -> None:
            failed.append(sentence)
            complain(sentence, *path)

        reader = TestReader(self.data, self.certainty, self.sets, blame)
        test = reader._test()
        return None if failed else test

    def _test(self) -> Test | None:
        primitive = PRIMITIVES.get(str(self.data.get("primitive")))
        if primitive is None:
            self.blame(f"there is no primitive {self.data.get('primitive')!r}", "primitive")
            return None
        self._refuse_unknown(primitive)
        group = self._group(primitive)
        where = self._where()
        params = self._params(primitive)
        certainty = self._certainty()
        if not isinstance(self.data.get("at_risk", True), bool):
            self.blame("at_risk is true or false", "at_risk")
        if params is None:
            return None
        return Test(
            scenario=self._scenario(),
            primitive=primitive,
            severity=self._severity(certainty),
            certainty=certainty,
            group=group,
            where=where,
            params=params,
            at_risk=bool(self.data.get("at_risk", True)),
            needs=self._needs(primitive, group, params),
            reads=self._reads(primitive, group, params),
        )

    def _refuse_unknown(self, primitive: Primitive) -> None:
        known = _PLAIN | set(_WHERE) | set(primitive.fields)
        for key in self.data:
            if key not in known:
                own = ", ".join(sorted(primitive.fields)) or "no parameters of its own"
                self.blame(f"{primitive.name} does not know {key!r}; it has {own}", key)
        if primitive.reads_all and "codes" in self.data:
            self.blame(f"{primitive.name} takes its codes from its own parameters, not from codes", "codes")

    def _scenario(self) -> str:
        value = self.data.get("scenario")
        if not isinstance(value, str) or not _SCENARIO.fullmatch(value):
            self.blame("a test needs a scenario: small letters, digits and _", "scenario")
            return ""
        return value

    def _certainty(self) -> Certainty:
        value = self.data.get("certainty", self.certainty)
        if value not in tuple(Certainty):
            self.blame(f"certainty is one of {', '.join(Certainty)}", "certainty")
            return self.certainty
        return Certainty(value)

    def _severity(self, certainty: Certainty) -> Severity:
        value = self.data.get("severity")
        if value not in tuple(Severity):
            self.blame(f"severity is one of {', '.join(Severity)}", "severity")
            return Severity.INFO
        if value == Severity.ERROR and certainty != Certainty.CERTAIN:
            self.blame(f"a {certainty} test may not be an error", "severity")
        return Severity(value)

    def _group(self, primitive: Primitive) -> tuple[str, ...]:
        if "group" not in self.data:
            if primitive.groups is None:
                self.blame(f"{primitive.name} needs a group such as doctor+patient+day", "group")
            return primitive.groups or ("line",)
        try:
            return fields.group(self.data["group"], sessions=primitive.sessions)
        except ValueError as error:
            self.blame(str(error), "group")
            return ("line",)

    def _where(self) -> Where:
        found = {key: self._read(field, key) for key, (field, _) in _WHERE.items() if key in self.data}
        found = {key: value if key == "at" else frozenset(value or ()) for key, value in found.items()}
        first, last = self._day("from"), self._day("to")
        if first and last and last < first:
            self.blame("a test cannot end before it begins", "to")
        return Where(**found, first_day=first, last_day=last)

    def _day(self, key: str) -> date | None:
        value = self.data.get(key)
        if value is None or (isinstance(value, date) and not isinstance(value, datetime)):
            return value
        self.blame(f"{key} is a date such as 2019-10-01", key)
        return None

    def _params(self, primitive: Primitive) -> dict[str, Any] | None:
        if self._lacks_alternative(primitive):
            return None
        params: dict[str, Any] = {}
        for key, field in primitive.fields.items():
            if key in self.data:
                params[key] = self._read(field, key)
            elif field.required:
                self.blame(f"{primitive.name} needs {key}", "primitive")
                return None
            else:
                params[key] = field.default
        return params

    def _lacks_alternative(self, primitive: Primitive) -> bool:
        lacking = [names for names in primitive.either if not any(name in self.data for name in names)]
        for names in lacking:
            self.blame(f"{primitive.name} needs {' or '.join(names)}")
        return bool(lacking)

    def _read(self, field: Field, key: str) -> Any:
        try:
            return fields.read(field, self.data[key], self.sets)
        except ValueError as error:
            self.blame(f"{key}: {error}", key)
            return None

    def _needs(self, primitive: Primitive, group: tuple[str, ...], params: Mapping[str, Any]) -> tuple[str, ...]:
        columns = [PARTS.get(part) for part in group]
        columns += [column for key, (_, column) in _WHERE.items() if key in self.data]
        columns += (
            [] if any(value is None for key, value in params.items() if key in self.data) else primitive.needs(params)
        )
        return tuple(sorted({column for column in columns if column} - _ALWAYS_THERE))

    def _reads(self, primitive: Primitive, group: tuple[str, ...], params: Mapping[str, Any]) -> tuple[str, ...]:
        lifted = SESSION in group or "except_context" in self.data
        return tuple(sorted({*primitive.reads(params), *(["context"] if lifted else [])}))


def overlaps(tests: Sequence[Test]) -> list[int]:
    """Return the positions of tests that hold on a day of an earlier one of the same scenario."""
    found = []
    for (_, one), (index, other) in itertools.combinations(enumerate(tests), 2):
        if one.scenario == other.scenario and _meet(one.where, other.where):
            found.append(index)
    return sorted(set(found))


def _meet(one: Where, other: Where) -> bool:
    first = max(one.first_day or date.min, other.first_day or date.min)
    return first <= min(one.last_day or date.max, other.last_day or date.max)
