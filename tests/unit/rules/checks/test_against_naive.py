"""Column operations against loops that a reader can check, over small random files."""

import random
from collections import defaultdict
from datetime import date, time, timedelta

import numpy as np
import pytest

from facnet_grpc.model.billing import RULE_SCHEMA
from facnet_grpc.reference.snapshot import shipped as shipped_reference
from facnet_grpc.rules.checks import cases
from facnet_grpc.rules.checks.claim_table import ClaimTable, months_between
from facnet_grpc.rules.checks.compile import CheckRule
from facnet_grpc.rules.checks.grouping import GroupedRows, Sessions, combine
from facnet_grpc.rules.checks.packs import for_run, load_checks

CHECKS = {check.id: check for check in load_checks().checks}
EPOCH = date(1970, 1, 1)


def random_rows(seed, codes, count=60):
    draw = random.Random(seed)
    rows = []
    for record in range(1, count + 1):
        start = draw.choice([None, *range(0, 240, 10)])
        end = None if start is None or draw.random() < 0.2 else start + draw.choice([5, 10, 25, 40])
        row = dict.fromkeys(RULE_SCHEMA.names)
        row |= {
            "record_number": record,
            "service_date": date(2025, 3, 3) + timedelta(days=draw.randrange(3)),
            "start_time": None if start is None else time(8 + start // 60, start % 60),
            "end_time": None if end is None else time(8 + end // 60, end % 60),
            "place": draw.choice([None, "50001", "00528"]),
            "code": draw.choice(codes),
            "context": draw.choice([None, None, "85", "G160,85"]),
            "preliminary_cents": draw.choice([-1000, 1000, 2500, 4000]),
            "paid_cents": draw.choice([None, 0, 1000]),
            "doctor_key": draw.choice(["1000001", "1000002"]),
            "patient_key": draw.choice([None, "TREA80010111", "GAGP75020213"]),
        }
        rows.append(row)
    return rows


def seconds(value):
    return value.hour * 3600 + value.minute * 60


def naive_sessions(rows, gap_minutes=15):
    """Return sets of records that are in one session, of lines with a patient and a start."""
    groups = defaultdict(list)
    for row in rows:
        if row["preliminary_cents"] > 0 and row["patient_key"] and row["start_time"]:
            other = "85" in (row["context"] or "").split(",")
            groups[row["doctor_key"], row["patient_key"], row["service_date"], other].append(row)
    sessions = []
    for lines in groups.values():
        reach = None
        for row in sorted(lines, key=lambda row: (row["start_time"], row["record_number"])):
            begin = seconds(row["start_time"])
            finish = seconds(row["end_time"]) if row["end_time"] else begin
            if reach is None or begin > reach + gap_minutes * 60:
                sessions.append([])
                reach = finish
            sessions[-1].append(row)
            reach = max(reach, finish)
    return sessions


def run(check_id, rows):
    (rule,) = for_run([CheckRule.of(CHECKS[check_id])], date(2025, 6, 30))
    return rule.evaluate(cases.table(rows), shipped_reference()).findings.to_pylist()


@pytest.mark.parametrize("seed", range(30))
def test_exclusions_in_a_session(seed):
    rows = random_rows(seed, ["08857", "15804", "08875", "08859"])
    sure, records = set(), set()
    for session in naive_sessions(rows):
        codes = {row["code"] for row in session}
        if "08857" in codes and "15804" in codes:
            sure |= {row["record_number"] for row in session if row["code"] in ("08857", "15804")}
    for finding in run("X01", rows):
        if finding["severity"] == "error":
            records |= set(finding["affected_records"])

    assert records == sure


@pytest.mark.parametrize("seed", range(30))
def test_counts_with_the_paid_lines_first(seed):
    rows = random_rows(seed, ["00689", "15804"])
    groups = defaultdict(list)
    for row in rows:
        if row["code"] == "00689" and row["preliminary_cents"] > 0 and row["patient_key"]:
            groups[row["doctor_key"], row["patient_key"], row["service_date"]].append(row)
    expected = {}
    for lines in groups.values():
        if len(lines) > 2:
            kept = sorted(
                lines,
                key=lambda row: (
                    not (row["paid_cents"] or 0) > 0,
                    seconds(row["start_time"]) if row["start_time"] else 86_400,
                    row["record_number"],
                ),
            )[:2]
            lost = [row for row in lines if row not in kept]
            expected[frozenset(row["record_number"] for row in lines)] = (
                frozenset(row["record_number"] for row in lost),
                sum(row["preliminary_cents"] for row in lost),
            )

    found = {
        frozenset(row["affected_records"]): (frozenset(row["risk_records"]), row["at_risk_cents"])
        for row in run("A11", rows)
    }

    assert found == expected


@pytest.mark.parametrize("seed", range(30))
def test_daily_caps(seed):
    rows = random_rows(seed, ["00917", "15804"])
    sums = defaultdict(int)
    for row in rows:
        if row["code"] == "00917" and row["preliminary_cents"] > 0 and row["patient_key"]:
            sums[row["doctor_key"], row["patient_key"], row["service_date"]] += row["preliminary_cents"]

    found = {
        (row["doctor_key"], row["patient_key"], row["service_date"]): (row["at_risk_cents"], row["severity"])
        for row in run("A22", rows)
    }

    assert found == {
        key: (total - 3500, "warning" if total * 1000 <= 3500 * 1330 else "error")
        for key, total in sums.items()
        if total > 3500
    }


@pytest.mark.parametrize("seed", range(30))
def test_services_that_overlap(seed):
    rows = [row for row in random_rows(seed, ["08857", "15785"]) if row["end_time"] or not row["start_time"]]
    whole = [
        session
        for session in naive_sessions(rows, gap_minutes=0)
        if not any(
            row["preliminary_cents"] > 0
            and not row["start_time"]
            and row["patient_key"] == session[0]["patient_key"]
            and row["doctor_key"] == session[0]["doctor_key"]
            and row["service_date"] == session[0]["service_date"]
            and ("85" in (row["context"] or "")) == ("85" in (session[0]["context"] or ""))
            for row in rows
        )
    ]
    spans = [
        (
            session[0]["doctor_key"],
            session[0]["service_date"],
            seconds(session[0]["start_time"]),
            session[0]["record_number"],
            max(seconds(row["end_time"]) for row in session),
        )
        for session in whole
    ]
    expected = {
        one[3]
        for one in spans
        if any(
            other[:2] == one[:2] and other[2:4] < one[2:4] and other[4] > one[2] for other in spans if other is not one
        )
    }

    assert {row["affected_records"][0] for row in run("T08", rows)} == expected


@pytest.mark.parametrize("seed", range(10))
def test_sessions_cover_each_timed_line_once(seed):
    rows = random_rows(seed, ["08857", "15804"])
    table = ClaimTable(cases.table(rows))
    grouped = GroupedRows.of(table, table.billed, ("doctor", "patient", "day"))
    timed = table.claims.start[grouped.rows] >= 0

    sessions = Sessions.of(table, grouped.rows[timed], grouped.ids[timed])

    assert sorted(sessions.groups.rows) == sorted(grouped.rows[timed])
    assert (sessions.end >= sessions.start).all()


def test_months_between_days():
    pairs = [
        (date(2025, 1, 31), date(2025, 3, 30), 1),
        (date(2025, 1, 31), date(2025, 3, 31), 2),
        (date(2024, 2, 29), date(2025, 2, 28), 11),
        (date(2024, 2, 29), date(2025, 3, 1), 12),
        (date(1969, 12, 31), date(1970, 1, 31), 1),
    ]
    earlier, later = (np.array([(pair[i] - EPOCH).days for pair in pairs], np.int64) for i in (0, 1))

    assert months_between(earlier, later).tolist() == [months for *_, months in pairs]


def test_keys_too_large_for_a_number_still_tell_groups_apart():
    many = np.array([0, 1 << 40, 0, 1 << 40, 5], np.int64)

    keys = combine([many, many, many[::-1].copy()])

    assert len(set(keys.tolist())) == 4
    assert combine([many, many, many])[0] == combine([many, many, many])[2]
