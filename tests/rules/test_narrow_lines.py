"""However lines are kept, all rules find the same in them: narrow or wide, in part or whole, at once or in slices."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

import facnet_grpc.sample
from facnet_grpc.ingest.reader import open_claims
from facnet_grpc.model.billing import RULE_SCHEMA
from facnet_grpc.rules.engine import columns_of, run_rules
from facnet_grpc.rules.registry import RULES, for_run, select
from facnet_grpc.rules.table import arrays
from facnet_grpc.rules.table.columns import LineCollector
from tests.rules.compare import with_sites

SAMPLE = Path(facnet_grpc.sample.__file__).parent / "claims-5000.csv"


def collected(columns):
    collector = LineCollector(columns)
    with open_claims(lambda: SAMPLE.open("rb"), SAMPLE.stat().st_size) as file:
        for batch in file.batches():
            collector.add(batch.lines)
    return collector.finish()


def report_of(lines, rules):
    return run_rules(lines, with_sites(), for_run(rules, datetime(2026, 1, 5, tzinfo=UTC)), on_rule_done=lambda _: None)


@pytest.fixture(scope="module")
def lines():
    return collected(RULE_SCHEMA.names)


@pytest.fixture(scope="module")
def report(lines):
    return report_of(lines, select(()))


def test_wide_columns_give_the_same(lines, report):
    wide = [_widened(lines.column(field.name).chunk(0), field.type) for field in RULE_SCHEMA]
    assert report_of(pa.Table.from_arrays(wide, schema=RULE_SCHEMA), select(())) == report


def _widened(column, kind):
    return (arrays.unpack(column) if pa.types.is_string(kind) else column).cast(kind)


def test_a_table_of_several_slices_gives_the_same_results(lines, report):
    count = 300_000  # more than a slice of rows, and than a partition of values
    unbilled = lines.take(np.zeros(count, np.int64))
    for name, values in (("record_number", np.arange(count) + 100_000), ("preliminary_cents", np.zeros(count))):
        index = lines.schema.get_field_index(name)
        unbilled = unbilled.set_column(
            index, lines.schema.field(name), pa.array(values).cast(lines.schema.types[index])
        )
    several = pa.concat_tables([lines.slice(0, 2_000), unbilled, lines.slice(2_000)]).combine_chunks()
    assert report_of(several, select(())).results == report.results


def test_the_columns_that_core_rules_name_are_enough(lines):
    some = collected(columns_of(RULES))
    assert "patient_name" not in some.column_names
    assert report_of(some, RULES) == report_of(lines, RULES)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.info.id)
def test_core_rules_name_the_columns_that_they_need(rule):
    assert {*rule.info.needs, *rule.info.reads} <= rule.info.columns <= set(RULE_SCHEMA.names)


def test_the_columns_that_all_rules_name_are_enough(report):
    some = collected(columns_of(select(())))
    assert set(some.column_names) == set(RULE_SCHEMA.names)  # each column is read by one of the shipped checks
    assert report_of(some, select(())) == report


def test_a_check_keeps_only_the_columns_that_it_reads(lines):
    rules = select(("A11", "G01"))
    some = collected(columns_of(rules))
    assert {"patient_name", "role"}.isdisjoint(some.column_names)
    assert report_of(some, rules) == report_of(lines, rules)


def test_a_rule_that_does_not_say_keeps_all_columns():
    silent = SimpleNamespace(info=replace(RULES[0].info, columns=None))
    assert columns_of([silent]) == set(RULE_SCHEMA.names)
