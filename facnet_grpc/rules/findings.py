"""Builds the table of `FINDING_SCHEMA` from the arrays of a rule: one value, or one group of rows, a finding."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from facnet_grpc.model.result import FINDING_SCHEMA, Severity
from facnet_grpc.rules.table.arrays import Ints, Mask
from facnet_grpc.rules.table.claims import Claims
from facnet_grpc.rules.table.groups import Groups

# A fact of every finding: integers (counts, cents), texts without PHI (codes), or ISO days.
Fact: TypeAlias = int | str | Ints | npt.NDArray[np.str_] | pa.Array

# The findings of most checks in most files: one shared table, recognised by identity.
NONE = FINDING_SCHEMA.empty_table()


@dataclass(frozen=True, slots=True)
class FindingGroup:
    """Findings of one scenario; arrays have one value a finding, `Groups` one group a finding.

    `about` is a row of the table whose doctor, day and patient are those of the finding. `risk` are the lines with
    money at risk: `risk_cents` (one amount for each of `risk.rows`), or their preliminary amounts.
    """

    scenario: str
    severity: Severity
    about: Ints
    affected: Groups
    risk: Groups | None = None
    risk_cents: Ints | None = None
    gain_cents: Ints | int = 0
    facts: Mapping[str, Fact] = field(default_factory=dict)
    downgraded: Mask | None = None  # findings that are only a warning
    of_patient: bool = False
    of_day: bool = True


def table(claims: Claims, groups: list[FindingGroup]) -> pa.Table:
    """Return the findings of all groups as a table of `FINDING_SCHEMA`, in the order of `groups`."""
    tables = [_table(claims, group) for group in groups if len(group.about)]
    return pa.concat_tables(tables) if tables else NONE


def _table(claims: Claims, group: FindingGroup) -> pa.Table:
    count = len(group.about)
    risk = group.risk or Groups.empty(count)
    cents = claims.cents[risk.rows] if group.risk_cents is None else group.risk_cents
    at_risk = np.zeros(count, np.int64)
    np.add.at(at_risk, risk.owner, cents)
    columns = [
        pa.array([group.scenario] * count),
        _severities(group),
        _lists(group.affected, claims.record[group.affected.rows], pa.int32()),
        claims.text("doctor_key", group.about),
        claims.text("patient_key", group.about) if group.of_patient else pa.nulls(count, pa.string()),
        days(claims, group.about) if group.of_day else pa.nulls(count, pa.date32()),
        pa.array(at_risk, pa.int64()),
        pa.array(np.broadcast_to(np.asarray(group.gain_cents, np.int64), count), pa.int64()),
        _lists(risk, claims.record[risk.rows], pa.int32()),
        _lists(risk, cents, pa.int64()),
        objects(count, group.facts),
    ]
    return pa.Table.from_arrays(columns, schema=FINDING_SCHEMA)


def days(claims: Claims, rows: Ints) -> pa.Array:
    """Return the service dates of rows."""
    return pa.array(claims.day[rows].astype(np.int32)).view(pa.date32())


def objects(count: int, facts: Mapping[str, Fact]) -> pa.Array:
    """Return `count` JSON objects with these members, sorted by name."""
    pieces: list[pa.Array | pa.Scalar] = []
    for name in sorted(facts):
        pieces += [pa.scalar(f"{',' if pieces else '{'}{json.dumps(name)}:"), _values(facts[name])]
    texts = pc.binary_join_element_wise(*pieces, pa.scalar("}"), "") if pieces else pa.scalar("{}")
    return texts if isinstance(texts, pa.Array) else pa.array([texts.as_py()] * count)


def _values(fact: Any) -> pa.Array | pa.Scalar:
    if isinstance(fact, int | str):
        return pa.scalar(json.dumps(fact))
    array = fact if isinstance(fact, pa.Array) else pa.array(fact)
    if pa.types.is_integer(array.type):
        return pc.fill_null(array.cast(pa.string()), "null")
    encoded = array.cast(pa.string()).dictionary_encode()
    quoted = pa.array([json.dumps(text) for text in encoded.dictionary.to_pylist()], pa.string())
    return quoted.take(encoded.indices)


def _severities(group: FindingGroup) -> pa.Array:
    if group.downgraded is None:
        return pa.array([group.severity.value] * len(group.about))
    choices = pa.array([group.severity.value, Severity.WARNING.value])
    return choices.take(pa.array(group.downgraded.astype(np.int8)))


def _lists(groups: Groups, values: Ints, kind: pa.DataType) -> pa.Array:
    offsets = pa.array(groups.starts.astype(np.int32))
    return pa.ListArray.from_arrays(offsets, pa.array(values.astype(kind.to_pandas_dtype())))
