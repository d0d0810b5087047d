"""Checks as rules: as of a day, in any order of lines, without a reference, without columns."""

import json
from datetime import date

import pyarrow as pa
import pytest

from facnet_grpc.model.result import FINDING_SCHEMA
from facnet_grpc.reference.snapshot import ReferenceSnapshot
from facnet_grpc.reference.snapshot import shipped as shipped_reference
from facnet_grpc.rules import engine
from facnet_grpc.rules.checks import cases
from facnet_grpc.rules.checks.compile import CheckRule
from facnet_grpc.rules.checks.packs import entries, for_run, load_checks, test_pack
from facnet_grpc.rules.registry import select
from tests.rules.pack_text import HOUSE, write

CHECKS = {check.id: check for check in load_checks().checks}
EVALUATED = [check for check in CHECKS.values() if check.tests]


def lines_of(check_id, title):
    case = next(case for case in cases.of_check(CHECKS[check_id]) if title in case.title)
    return cases.table(case.rows)


def evaluate(check_id, lines, today=date(2025, 6, 30)):
    (rule,) = for_run([CheckRule.of(CHECKS[check_id])], today)
    return rule.evaluate(lines, shipped_reference())


def comparable(findings):
    return sorted(json.dumps(row, default=str, sort_keys=True) for row in findings.to_pylist())


def each_case():
    """Return each check as a rule, with each of its cases."""
    for check in EVALUATED:
        (rule,) = for_run([CheckRule.of(check)], date(2025, 6, 30))
        for case in cases.of_check(check):
            yield rule, case


def test_the_order_of_lines_does_not_matter():
    """Dictionaries and rows turned round: the same findings."""
    different = []
    for rule, case in each_case():
        one, other = (
            comparable(rule.evaluate(cases.table(rows), shipped_reference()).findings)
            for rows in (case.rows, list(reversed(case.rows)))
        )
        if one != other:
            different.append((rule.info.id, case.title))

    assert different == []


def test_money_at_risk_is_that_of_its_lines():
    wrong = []
    for rule, case in each_case():
        amounts = {row["record_number"]: row["preliminary_cents"] for row in case.rows}
        found = rule.evaluate(cases.table(case.rows), shipped_reference()).findings
        assert found.schema.equals(FINDING_SCHEMA)
        for row in found.to_pylist():
            risk = dict(zip(row["risk_records"], row["risk_cents"], strict=True))
            if (
                row["at_risk_cents"] != sum(risk.values())
                or not set(risk) <= set(row["affected_records"])
                or not all(0 <= cents <= amounts[record] for record, cents in risk.items())
                or "TREA" in row["data"]
            ):
                wrong.append((rule.info.id, case.title, row))

    assert wrong == []


def test_a_file_of_reversals_and_an_empty_one_give_nothing():
    found = []
    for rule, case in each_case():
        for rows in ([], [{**row, "preliminary_cents": -1000} for row in case.rows]):
            found += rule.evaluate(cases.table(rows), shipped_reference()).findings.to_pylist()

    assert found == []


def test_a_check_finds_the_same_in_the_columns_that_it_names():
    different = []
    for rule, case in each_case():
        lines = cases.table(case.rows)
        kept = [name for name in lines.column_names if name in rule.info.columns]
        (other,) = for_run([rule], date(2025, 6, 30))
        if other.evaluate(lines.select(kept), shipped_reference()) != rule.evaluate(lines, shipped_reference()):
            different.append((rule.info.id, case.title))

    assert different == []
    assert any("patient_name" not in rule.info.columns for rule, _ in each_case())


def test_all_checks_run_in_the_engine_one_after_the_other():
    lines = lines_of("F01", "never answered")
    rules = for_run(select([]), date(2025, 6, 30))

    report = engine.run_rules(lines, shipped_reference(), rules, on_rule_done=lambda _: None)

    assert "system_error" not in report.results.column("scenario").to_pylist()
    assert {"F01", "F08"} == set(report.results.column("rule_id").to_pylist())
    lacking = {one.rule_id: one.missing_columns for one in report.not_evaluable}
    assert lacking["F04"] == ("patient_name",)
    assert lacking["F17"] == ("role",)


def test_without_the_day_of_the_run_deadlines_are_not_evaluable():
    lines = lines_of("F01", "never answered")

    outcome = CheckRule.of(CHECKS["F01"]).evaluate(lines, shipped_reference())

    assert outcome.findings.num_rows == 0
    assert outcome.not_evaluable == ("today",)
    assert evaluate("F01", lines, date(2025, 4, 1)).findings.num_rows == 0


def test_without_the_day_of_the_run_old_dates_are_still_seen():
    outcome = CheckRule.of(CHECKS["F09"]).evaluate(lines_of("F09", "tomorrow"), shipped_reference())

    assert outcome.findings.column("scenario").to_pylist() == ["before_1970"]
    assert outcome.not_evaluable == ("today",)


@pytest.mark.parametrize(
    ("check_id", "lacking"),
    [("F07", "codes"), ("F08", "codes"), ("F18", "contexts"), ("L04", "codes"), ("X15", "codes"), ("X16", "codes")],
)
def test_without_a_reference_it_cannot_be_looked_up(check_id, lacking):
    hit = next(case for case in cases.of_check(CHECKS[check_id]) if case.expected)

    outcome = CheckRule.of(CHECKS[check_id]).evaluate(cases.table(hit.rows), ReferenceSnapshot(version="none"))

    assert outcome.findings.num_rows == 0
    assert outcome.not_evaluable == (lacking,)


def test_a_column_that_is_not_in_the_header_leaves_a_check_without_a_basis():
    """No context column: whether a visit was another session cannot be seen."""
    (rule,) = for_run([CheckRule.of(CHECKS["O01"])], date(2025, 6, 30))
    hit = next(case for case in cases.of_check(CHECKS["O01"]) if case.expected)

    report = engine.run_rules(
        cases.table(hit.rows), shipped_reference(), [rule], on_rule_done=lambda _: None, missing_columns=["context"]
    )

    assert report.results.num_rows == 0
    assert [one.missing_columns for one in report.not_evaluable] == [("context",)]


def test_an_exclusion_need_not_be_about_a_patient(tmp_path):
    """No other act of a doctor on a day, whoever the patient is."""
    test = HOUSE[HOUSE.index("[[check.test]]") : HOUSE.index("[check.cases]")]
    alone = (
        test.replace("max_count", "mutual_exclusion")
        .replace("doctor+patient+day", "doctor+day")
        .replace("codes =", "a =")
    ).replace("max = 2\n", "")
    tables = "'''\n\n# two patients\n00689 TREA80010111 ! exceeded\n15804 GAGP75020213\n'''\n"
    head = HOUSE[: HOUSE.index("[[check.test]]")]
    text = head + alone + f'[check.cases]\ncolumns = "code patient"\ntables = {tables}'
    path = write(tmp_path, text.replace("{count}", "{code}").replace("{max}", "{other_code}"))

    assert test_pack(path).failures == ()


def test_what_passes_is_counted():
    assert evaluate("A11", lines_of("A11", "2, and one")).passes == {"exceeded": 2}
    assert evaluate("X03", lines_of("X03", "with it")).passes == {"alone": 1}


def test_a_dated_test_holds_on_its_days_only(tmp_path):
    second = HOUSE[HOUSE.index("[[check.test]]") : HOUSE.index("[check.cases]")]
    dated = second.replace("max = 2", "max = 2\nto = 2025-03-02") + second.replace(
        "max = 2", "max = 1\nfrom = 2025-03-03"
    )
    tables = "'''\n# one from March 3 on\n2025-03-02\n2025-03-02\n2025-03-03\n2025-03-03 ! exceeded\n'''\n"
    path = write(
        tmp_path, HOUSE[: HOUSE.index("[[check.test]]")] + dated + f'[check.cases]\ncolumns = "date"\ntables = {tables}'
    )
    path.write_text(path.read_text().replace('codes = ["@MINE"]\n', ""))

    assert test_pack(path).failures == ()


def test_a_case_that_is_wrong_is_reported_with_its_line(tmp_path):
    path = write(tmp_path, HOUSE.replace(" ! exceeded =10.00", ""))

    report = test_pack(path)

    assert not report.ok
    assert report.passed == 2
    assert [str(failure) for failure in report.failures] == [
        f"{path}:31: my_limit, three: expected nothing; found line 3: exceeded/error =10.00 +0.00",
    ]


def test_a_pack_that_cannot_be_read_is_a_failure(tmp_path):
    report = test_pack(write(tmp_path, "check = 3"))

    assert not report.ok
    assert report.passed == 0


def test_texts_are_looked_up_by_scenario_and_language(tmp_path):
    write(tmp_path)

    shown = entries("fr", tmp_path)
    assert shown["my_limit.name"] == "Deux par jour"
    assert shown["my_limit.exceeded.message"] == "{count} lignes\N{NO-BREAK SPACE}: {max} au plus."
    assert "my_limit.name" not in entries("fr")
    assert entries("en")["A11.exceeded.title"] == "Targeted emergency ultrasound: two a day"
    assert entries("en", tmp_path)["my_limit.exceeded.solution"] == "Remove the others."


def test_rules_of_other_kinds_go_through_a_run_unchanged():
    other = object()

    assert for_run([other], date(2025, 6, 30)) == (other,)


def test_a_run_keeps_no_lines_once_its_rules_are_gone():
    lines = lines_of("A11", "3 lines")
    before = pa.total_allocated_bytes()
    rules = for_run(select([]), date(2025, 6, 30))
    for rule in rules:
        rule.evaluate(lines, shipped_reference())
    del rules, rule

    assert pa.total_allocated_bytes() <= before + 1_000_000
