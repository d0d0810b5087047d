"""The engine: runs what it is given, in order, and survives a rule that does not."""

from __future__ import annotations

import json
from datetime import date

import pyarrow as pa
import pytest
from structlog.testing import capture_logs

from facnet_grpc.errors import InvalidInput, RunCancelled
from facnet_grpc.model.billing import RULE_SCHEMA
from facnet_grpc.model.result import FINDING_SCHEMA, RESULT_SCHEMA, Certainty, Severity
from facnet_grpc.model.run import SeverityCounts
from facnet_grpc.model.summary import DayFigures, NotEvaluable, PassFigures, RejectionFigures, ScenarioFigures
from facnet_grpc.reference.snapshot import shipped
from facnet_grpc.rules.api import RuleFindings, RuleInfo
from facnet_grpc.rules.engine import run_rules
from facnet_grpc.rules.registry import RULES, select
from tests.rules.tables import lines

DAY, NEXT = date(2025, 3, 3), date(2025, 3, 5)
SECRET = "TREM12345678"


class Fixed:
    """A rule that finds what it is told to find."""

    def __init__(self, rule_id, *findings, passes=None, needs=(), reads=(), error=None):
        self.info = RuleInfo(
            id=rule_id,
            version="7",
            category="tests",
            certainty=Certainty.LIKELY,
            severities=tuple(Severity),
            scenarios=("one", "two"),
            needs=needs,
            source="tests",
            reads=reads,
            scenario_certainty={"two": Certainty.UNCERTAIN},
        )
        self.findings, self.passes, self.error = findings, passes or {}, error

    def evaluate(self, lines, reference):
        if self.error:
            raise self.error
        return RuleFindings(pa.Table.from_pylist(list(self.findings), schema=FINDING_SCHEMA), self.passes)


def finding(*records, scenario="one", severity="error", doctor="1000001", day=DAY, risk=None, gain=0):
    risk = risk or {}
    return {
        "scenario": scenario,
        "severity": severity,
        "affected_records": records,
        "doctor_key": doctor,
        "patient_key": None,
        "service_date": day,
        "at_risk_cents": sum(risk.values()),
        "potential_gain_cents": gain,
        "risk_records": list(risk),
        "risk_cents": list(risk.values()),
        "data": "{}",
    }


@pytest.fixture
def table():
    return lines(
        [
            {"doctor_name": None, "ramq_id": "00000000001"},
            {"doctor_name": "Roy, Anne", "service_date": NEXT, "ramq_id": None},
            {"doctor_name": "ROY, A.", "preliminary_cents": -4000},
            {"doctor_key": "1000002", "doctor_name": None, "service_date": NEXT, "preliminary_cents": 0},
        ]
    )


def run(table, *rules, on_rule_done=lambda _: None, **options):
    return run_rules(table, shipped(), rules, on_rule_done=on_rule_done, **options)


def test_results_are_ordered_numbered_and_completed_from_the_lines(table):
    report = run(
        table,
        Fixed("b_rule", finding(2, 1), finding(1, scenario="two", doctor="1000002"), finding(1)),
        Fixed("a_rule", finding(3), finding(day=NEXT), finding(doctor="1000002", day=DAY), finding(day=DAY)),
    )
    assert report.results.schema.equals(RESULT_SCHEMA)
    rows = report.results.to_pylist()
    assert [(row["result_number"], row["rule_id"], row["record_number"], row["doctor_key"]) for row in rows] == [
        (1, "a_rule", None, "1000001"),
        (2, "a_rule", None, "1000001"),
        (3, "a_rule", None, "1000002"),
        (4, "a_rule", 3, "1000001"),
        (5, "b_rule", 1, "1000001"),
        (6, "b_rule", 1, "1000002"),
        (7, "b_rule", 2, "1000001"),
    ]
    assert [row["service_date"] for row in rows[:2]] == [DAY, NEXT]
    assert rows[6]["affected_records"] == [2, 1]
    assert rows[6]["ramq_ids"] == ["", "00000000001"]
    assert {row["rule_version"] for row in rows} == {"7"}
    assert (rows[4]["certainty"], rows[5]["certainty"]) == ("likely", "uncertain")


def test_a_doctor_has_the_first_name_that_the_file_gives(table):
    rows = run(table, Fixed("a_rule", finding(1), finding(4, doctor="1000002"))).results.to_pylist()
    assert [row["doctor_name"] for row in rows] == ["Roy, Anne", None]
    backwards = run(table.take([3, 2, 1, 0]), Fixed("a_rule", finding(1))).results.to_pylist()
    assert backwards[0]["doctor_name"] == "Roy, Anne"


def test_a_line_is_lost_once_with_the_most_that_any_result_puts_at_risk(table):
    report = run(
        table,
        Fixed("a_rule", finding(1, 2, risk={1: 100, 2: 70}), passes={"one": 3, "two": 0}),
        Fixed("b_rule", finding(2, 1, risk={2: 90, 1: 40}, severity="warning", day=NEXT)),
        Fixed("c_rule", finding(day=NEXT, gain=500, severity="optimization"), finding(severity="info", gain=5)),
    )
    assert report.at_risk_cents == 190
    assert report.potential_gain_cents == 505
    assert report.reversal_rows == 2
    assert report.counts == SeverityCounts(error=1, warning=1, optimization=1, info=1)
    assert report.passes == (PassFigures(rule_id="a_rule", scenario="one", count=3),)
    assert report.days == (
        DayFigures(service_date=DAY, rows=2, error=1, info=1, at_risk_cents=100, potential_gain_cents=5),
        DayFigures(service_date=NEXT, rows=2, warning=1, optimization=1, at_risk_cents=90, potential_gain_cents=500),
    )
    assert report.scenarios[0] == ScenarioFigures(
        rule_id="a_rule", scenario="one", severity=Severity.ERROR, count=1, at_risk_cents=170, potential_gain_cents=0
    )
    assert [figures.severity for figures in report.scenarios] == ["error", "warning", "info", "optimization"]


def test_the_summary_takes_in_what_the_reader_has_to_say(table):
    rejection = RejectionFigures(reason="bad_date", column="service_date", count=2)
    report = run(table, Fixed("a_rule", finding(1, risk={1: 5})))
    summary = report.summary(rejections=[rejection])
    assert summary.rejections == (rejection,)
    assert (summary.at_risk_cents, summary.days, summary.scenarios) == (5, report.days, report.scenarios)


def test_a_rule_that_raises_is_one_result_and_stops_nobody(table):
    with capture_logs() as logs:
        report = run(table, Fixed("a_rule", error=ValueError(SECRET)), Fixed("b_rule", finding(1)))
    failed, found = report.results.to_pylist()
    assert (failed["rule_id"], failed["scenario"], failed["severity"]) == ("a_rule", "system_error", "warning")
    assert failed["category"] == "system"
    assert failed["record_number"] is failed["service_date"] is None
    assert json.loads(failed["data"]) == {"error_class": "ValueError"}
    assert found["rule_id"] == "b_rule"
    assert SECRET not in str(failed) + str(logs)
    assert logs == [
        {"event": "rule_failed", "log_level": "error", "rule_id": "a_rule", "error_class": "ValueError"},
    ]


def test_a_rule_that_returns_something_else_is_a_failure_too(table):
    class Strange(Fixed):
        def evaluate(self, lines, reference):
            return RuleFindings(pa.table({"scenario": ["one"]}))

    with capture_logs():
        report = run(table, Strange("a_rule"), Fixed("b_rule", finding(1)))
    assert report.results.column("scenario").to_pylist() == ["system_error", "one"]


def test_running_out_of_memory_is_no_fault_of_a_rule(table):
    with pytest.raises(MemoryError):
        run(table, Fixed("a_rule", error=MemoryError()))


def test_on_rule_done_is_called_before_the_first_rule_and_after_each(table):
    calls = []
    run(table, Fixed("a_rule", finding(1)), Fixed("b_rule", finding(1, severity="info")), on_rule_done=calls.append)
    assert calls[0] is None
    assert [(call.rule_id, call.rules_done, call.rules_total) for call in calls[1:]] == [
        ("a_rule", 1, 2),
        ("b_rule", 2, 2),
    ]
    assert calls[2].counts == SeverityCounts(error=1, info=1)


def test_an_exception_of_on_rule_done_stops_the_evaluation(table):
    ran = []

    def stop(progress):
        ran.append(progress)
        if progress:
            raise RunCancelled

    with pytest.raises(RunCancelled):
        run(table, Fixed("a_rule"), Fixed("b_rule"), on_rule_done=stop)
    assert len(ran) == 2


def test_a_rule_without_its_columns_says_so_and_is_not_run(table):
    broken = Fixed("a_rule", needs=("patient_key", "code"), error=AssertionError("must not run"))
    report = run(table, broken)
    assert report.not_evaluable == (NotEvaluable(rule_id="a_rule", missing_columns=("patient_key",)),)
    assert report.results.num_rows == 0


def test_a_column_that_the_file_lacks_is_not_one_that_is_empty(table):
    rule = Fixed("a_rule", finding(1), reads=("context",))
    assert run(table, rule).results.num_rows == 1
    report = run(table, rule, missing_columns=("context", "units"))
    assert report.not_evaluable == (NotEvaluable(rule_id="a_rule", missing_columns=("context",)),)


def test_no_lines_and_no_rules():
    report = run(RULE_SCHEMA.empty_table(), *RULES)
    assert report.results.num_rows == 0
    assert report.days == ()
    assert report.at_risk_cents == report.reversal_rows == 0
    assert run(lines([{}])).summary().days == (DayFigures(service_date=DAY, rows=1),)


def test_rules_are_chosen_by_id():
    assert set(RULES) < set(select([]))
    assert [rule.info.id for rule in select([])] == sorted(rule.info.id for rule in select([]))
    assert [rule.info.id for rule in select(["visit_duration", "annual_visit"])] == ["annual_visit", "visit_duration"]
    with pytest.raises(InvalidInput) as caught:
        select(["office_fee", SECRET])
    assert caught.value.params["field"] == "rule_ids"
    assert SECRET not in str(caught.value)
