"""The builder of findings: arrays in, a table of the schema out."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa

from facnet_grpc.model.result import FINDING_SCHEMA, Severity
from facnet_grpc.rules import findings
from facnet_grpc.rules.findings import FindingGroup
from facnet_grpc.rules.table.claims import Claims
from facnet_grpc.rules.table.groups import Groups
from tests.rules.tables import lines


def test_a_group_becomes_rows():
    claims = Claims(lines({"record_number": number, "patient_key": "AAAA00000001"} for number in (10, 20, 30)))
    group = FindingGroup(
        "one",
        Severity.ERROR,
        np.array([0, 2]),
        Groups(np.array([0, 1, 2]), np.array([0, 2, 3])),
        risk=Groups(np.array([1, 0]), np.array([0, 2, 2])),
        risk_cents=np.array([5, 7]),
        gain_cents=np.array([0, 9]),
        downgraded=np.array([False, True]),
        facts={"count": np.array([1, 2])},
    )
    table = findings.table(claims, [group])
    assert table.schema.equals(FINDING_SCHEMA)
    table.validate(full=True)
    first, second = table.to_pylist()
    assert (first["severity"], second["severity"]) == ("error", "warning")
    assert (first["affected_records"], second["affected_records"]) == ([10, 20], [30])
    assert (first["risk_records"], first["risk_cents"], first["at_risk_cents"]) == ([20, 10], [5, 7], 12)
    assert (second["risk_records"], second["at_risk_cents"], second["potential_gain_cents"]) == ([], 0, 9)
    assert first["patient_key"] is None
    assert second["data"] == '{"count":2}'


def test_nothing_found_is_an_empty_table():
    empty = FindingGroup("one", Severity.ERROR, np.zeros(0, np.int64), Groups.empty(0))
    assert findings.table(Claims(lines([])), [empty]).equals(FINDING_SCHEMA.empty_table())


def test_facts_are_json_in_order_of_their_names():
    facts = {
        "b": np.array([1, -2]),
        "a": np.array(['quote "', "é\\"]),
        "c": pa.array([3, None]),
        "d": "same",
        "e": 5,
        "f": pa.array([20089, 20090], pa.int32()).cast(pa.date32()),
    }
    texts = findings.objects(2, facts).to_pylist()
    assert [json.loads(text) for text in texts] == [
        {"a": 'quote "', "b": 1, "c": 3, "d": "same", "e": 5, "f": "2025-01-01"},
        {"a": "é\\", "b": -2, "c": None, "d": "same", "e": 5, "f": "2025-01-02"},
    ]
    assert [list(json.loads(text)) for text in texts] == [sorted(facts)] * 2
    assert findings.objects(2, {}).to_pylist() == ["{}", "{}"]
    assert findings.objects(2, {"x": 1}).to_pylist() == ['{"x":1}'] * 2
