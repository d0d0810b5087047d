"""What must hold for any file: order, batches, doctors and strangers change nothing that they should not."""

from __future__ import annotations

import json
import random

import pyarrow as pa
import pytest

from facnet_grpc.model.billing import BILLING_SCHEMA
from facnet_grpc.rules.engine import run_rules
from facnet_grpc.rules.registry import RULES, for_run
from facnet_grpc.rules.table.columns import LineCollector
from tests.rules.compare import TODAY, with_sites
from tests.rules.generate import generate
from tests.rules.tables import of_rows

SEEDS = (1, 2, 3, 6)
# Across doctors by what they check: everything else of a doctor is theirs alone.
# (A periodic visit is missing only in a file that covers enough of the year, whoever billed it.)
ACROSS = {
    ("annual_visit", "periodic_other_doctor"),
    ("annual_visit", "periodic_missing"),
    ("gmf_supplement", "duplicate"),
    ("gmf_supplement", "missed"),
}


def report(table):
    return run_rules(table, with_sites(), for_run(RULES, TODAY), on_rule_done=lambda _: None)


def as_bytes(run):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, run.results.schema) as writer:
        writer.write_table(run.results.combine_chunks())
    return sink.getvalue().to_pybytes()


def facts(run):
    """Return results without their numbers, as comparable texts."""
    rows = run.results.drop_columns(["result_number"]).to_pylist()
    return sorted(json.dumps(row, default=str, sort_keys=True) for row in rows)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_order_of_lines_changes_not_a_byte(seed):
    rows = generate(seed)
    shuffled = random.Random(seed).sample(rows, len(rows))
    first, second = report(of_rows(rows)), report(of_rows(shuffled))
    assert as_bytes(first) == as_bytes(second)
    assert first.summary() == second.summary()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_cut_into_batches_changes_not_a_byte(seed):
    rows = [{name: row.get(name) for name in BILLING_SCHEMA.names} for row in generate(seed)]
    whole = pa.RecordBatch.from_pylist(rows, schema=BILLING_SCHEMA)
    runs = []
    for size in (len(rows), 7, 1):
        collector = LineCollector()
        for start in range(0, len(rows), size):
            collector.add(whole.slice(start, size))
        runs.append(report(collector.finish()))
    assert len({as_bytes(run) for run in runs}) == 1
    assert len({run.summary().model_dump_json() for run in runs}) == 1


@pytest.mark.parametrize("seed", SEEDS)
def test_a_file_of_each_doctor_gives_what_all_together_give(seed):
    rows = generate(seed)
    apart = []
    for doctor in {row["doctor_key"] for row in rows}:
        apart += facts(report(of_rows([row for row in rows if row["doctor_key"] == doctor])))
    within = [text for text in apart if not crosses_doctors(text)]
    together = [text for text in facts(report(of_rows(rows))) if not crosses_doctors(text)]
    assert sorted(within) == together


@pytest.mark.parametrize("seed", SEEDS)
def test_a_stranger_changes_nothing_for_the_others(seed):
    rows, others = generate(seed), generate(seed + 100)
    for number, row in enumerate(others, len(rows) + 1):
        row["record_number"] = number
        row["doctor_key"] = f"9{row['doctor_key'][1:]}"
        row["patient_key"] = row["patient_key"] and f"Z{row['patient_key'][1:]}"
    before, after = facts(report(of_rows(rows))), facts(report(of_rows(rows + others)))
    assert [text for text in after if json.loads(text)["doctor_key"][0] == "1"] == before


@pytest.mark.parametrize("seed", SEEDS)
def test_lines_that_are_all_taken_back_leave_nothing(seed):
    rows = [row for row in generate(seed) if row["preliminary_cents"] > 0]
    reversals = [
        {**row, "record_number": len(rows) + number, "preliminary_cents": -row["preliminary_cents"]}
        for number, row in enumerate(rows, 1)
    ]
    for number, row in enumerate(rows, 1):
        row["record_number"] = number
    empty = report(of_rows(rows + reversals))
    assert not facts(empty)
    assert not empty.passes
    assert (empty.reversed_lines, empty.reversal_lines_without_partner) == (len(rows), 0)


@pytest.mark.parametrize("seed", SEEDS)
def test_reversals_of_nothing_change_nothing_but_their_figure(seed):
    rows = generate(seed)
    strange = [
        {**row, "record_number": len(rows) + number, "code": "00689", "preliminary_cents": -4321}
        for number, row in enumerate(rows, 1)
    ]
    before, after = report(of_rows(rows)), report(of_rows(rows + strange))
    assert facts(before) == facts(after)
    assert after.reversal_lines_without_partner == before.reversal_lines_without_partner + len(rows)
    assert (before.reversed_lines, before.passes) == (after.reversed_lines, after.passes)


@pytest.mark.parametrize("seed", range(12))
def test_money_adds_up_and_is_never_negative(seed):
    rows = generate(seed)
    amount = {row["record_number"]: row["preliminary_cents"] for row in rows}
    run = report(of_rows(rows))
    found = run.results.to_pylist()
    assert all(row["at_risk_cents"] >= 0 and row["potential_gain_cents"] >= 0 for row in found)
    # A result loses no more than its lines ask for, and all together no more than all lines that any of them names.
    assert all(row["at_risk_cents"] <= sum(amount[number] for number in row["affected_records"]) for row in found)
    named = {number for row in found if row["at_risk_cents"] for number in row["affected_records"]}
    assert run.at_risk_cents <= sum(amount[number] for number in named)
    assert run.at_risk_cents <= sum(row["at_risk_cents"] for row in found)
    assert run.potential_gain_cents == sum(row["potential_gain_cents"] for row in found)
    assert sum(figures.at_risk_cents for figures in run.days) == run.at_risk_cents
    assert sum(figures.potential_gain_cents for figures in run.days) == run.potential_gain_cents
    assert sum(figures.rows for figures in run.days) == len(rows)
    assert sum(figures.count for figures in run.scenarios) == len(found)


@pytest.mark.parametrize("seed", SEEDS)
def test_results_are_numbered_in_order_of_rule_then_first_record(seed):
    found = report(of_rows(generate(seed))).results.to_pylist()
    assert [row["result_number"] for row in found] == list(range(1, len(found) + 1))
    order = [
        (row["rule_id"], row["record_number"] or 0, row["doctor_key"], row["service_date"], row["scenario"])
        for row in found
    ]
    assert order == sorted(order)


def test_no_result_quotes_a_patient():
    rows = generate(5)
    patients = {row["patient_key"] for row in rows if row["patient_key"]}
    for row in report(of_rows(rows)).results.to_pylist():
        assert not any(patient in row["data"] for patient in patients)


def crosses_doctors(text):
    row = json.loads(text)
    return (row["rule_id"], row["scenario"]) in ACROSS
