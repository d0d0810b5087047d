"""The shapes that parts hand each other agree with each other, with the tables and with the API."""

import re
from pathlib import Path

import pyarrow as pa
import pytest
from pydantic import ValidationError

import facnet_grpc
from facnet_grpc.gen.facnet.v1 import result_pb2
from facnet_grpc.model.billing import BILLING_SCHEMA, NEEDED, REJECTED_SCHEMA, RULE_SCHEMA, WANTED
from facnet_grpc.model.result import FINDING_SCHEMA, RESULT_SCHEMA, Certainty, Severity
from facnet_grpc.model.run import RunPhase, RunStatus
from facnet_grpc.model.summary import ScenarioFigures, Summary

SCHEMA_SQL = (Path(facnet_grpc.__file__).parent / "storage" / "postgres" / "schema.sql").read_text()
NOT_STORED = {"risk_records", "risk_cents"}


def _table(name):
    """Return column names of a table in their order, and those that are NOT NULL."""
    body = re.search(rf"CREATE TABLE {name} \((.*?)\n\);", SCHEMA_SQL, re.DOTALL)[1]
    columns = re.findall(r"^    ([a-z_0-9]+) ([^,\n]+)", body, re.MULTILINE)
    return [column for column, _ in columns], {column for column, rest in columns if "NOT NULL" in rest}


@pytest.mark.parametrize(
    ("table", "schema"),
    [
        ("billing_records", BILLING_SCHEMA),
        ("rejected_rows", REJECTED_SCHEMA),
        ("validation_results", RESULT_SCHEMA),
    ],
)
def test_arrow_and_sql_have_the_same_columns(table, schema):
    columns, not_null = _table(table)

    assert columns == ["run_id", *schema.names]
    assert not_null == {"run_id", *(field.name for field in schema if not field.nullable)}


def test_rules_see_a_part_of_the_lines_under_the_same_names_and_types():
    for field in RULE_SCHEMA:
        original = BILLING_SCHEMA.field(field.name)
        kept = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        assert (kept, field.nullable) == (original.type, original.nullable)


def test_needed_and_wanted_columns_are_ones_that_rules_see():
    assert set(NEEDED) | set(WANTED) <= set(RULE_SCHEMA.names)
    assert not set(NEEDED) & set(WANTED)
    assert {name for name in RULE_SCHEMA.names if not RULE_SCHEMA.field(name).nullable} == {"record_number", *NEEDED}


def test_findings_become_results():
    assert set(FINDING_SCHEMA.names) - NOT_STORED <= set(RESULT_SCHEMA.names)


@pytest.mark.parametrize(
    ("enum", "proto", "prefix"),
    [(Severity, result_pb2.Severity, "SEVERITY_"), (Certainty, result_pb2.Certainty, "CERTAINTY_")],
)
def test_results_speak_as_the_api(enum, proto, prefix):
    assert {prefix + member.name for member in enum} | {prefix + "UNSPECIFIED"} == set(proto.keys())


@pytest.mark.parametrize(("enum", "column"), [(RunStatus, "status"), (RunPhase, "phase")])
def test_the_table_knows_every_status_and_phase(enum, column):
    allowed = re.search(rf"CHECK \({column} IN \(([^)]*)\)\)", SCHEMA_SQL)[1]

    assert re.findall(r"'(\w+)'", allowed) == [member.value for member in enum]


def test_a_summary_survives_the_database():
    summary = Summary(
        at_risk_cents=6480,
        scenarios=(
            ScenarioFigures(
                rule_id="office_fee",
                scenario="ceiling",
                severity=Severity.ERROR,
                count=1,
                at_risk_cents=6480,
                potential_gain_cents=0,
            ),
        ),
    )

    assert Summary.model_validate_json(summary.model_dump_json()) == summary


def test_a_summary_is_frozen_and_knows_all_its_fields():
    with pytest.raises(ValidationError):
        Summary().at_risk_cents = 1
    with pytest.raises(ValidationError):
        Summary.model_validate({"nam": 1})
