"""Lines that count in no rule, by example: `amount` and, where it matters, record order is that of the rows."""

from __future__ import annotations

import pytest

from facnet_grpc.rules.table.claims import Claims
from facnet_grpc.rules.table.exclusions import find_exclusions
from tests.rules import naive
from tests.rules.generate import generate
from tests.rules.tables import DEFAULTS, lines, of_rows


def exclusions(rows):
    return find_exclusions(Claims(lines(rows)))


def reversed_records(*amounts):
    return [row + 1 for row in exclusions([{"preliminary_cents": amount} for amount in amounts]).reversed]


@pytest.mark.parametrize(
    ("amounts", "cancelled"),
    [
        ((100, -100), [1]),
        ((-100, 100), [2]),  # the reversal comes first
        ((100, 100, -100), [2]),  # the nearest before it
        ((100, 100, -100, -100), [1, 2]),
        ((100, 100, -100, 100), [2]),
        ((-100, 100, 100), [2]),  # the nearest after it
        ((-100, 100, -100), [2]),  # the second one cancels nothing
        ((-100, 100, -100, 100, 100), [2, 4]),
        ((100, -90), []),
        ((100, 0), []),
        ((-100,), []),
    ],
)
def test_a_reversal_cancels_the_nearest_line_of_the_opposite_amount(amounts, cancelled):
    assert reversed_records(*amounts) == cancelled
    found = exclusions([{"preliminary_cents": amount} for amount in amounts])
    assert found.without_partner == sum(amount <= 0 for amount in amounts) - len(cancelled)


@pytest.mark.parametrize(
    "other",
    [
        {"doctor_key": "1000002"},
        {"patient_key": "NOUV00000001"},
        {"code": "15803"},
        {"service_date": DEFAULTS["service_date"].replace(day=4)},
    ],
)
def test_a_reversal_is_of_the_same_doctor_patient_code_and_day(other):
    assert not len(exclusions([{}, {"preliminary_cents": -4000, **other}]).reversed)


def superseded(*rows):
    """Each row is (period, paid), of one invoice."""
    keys = ("payment_period", "paid_cents")
    return [
        row + 1
        for row in exclusions([{"invoice": "400000001", **dict(zip(keys, r, strict=True))} for r in rows]).superseded
    ]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ((("202642", 0), ("202644", 4000)), [1]),
        ((("202644", 4000), ("202642", 0)), [2]),
        ((("202642", None), ("202644", 0), ("202645", 0)), [1, 2]),  # still refused: the latest one counts
        ((("202642", 4000), ("202644", 4000)), []),  # paid twice
        ((("202642", 0), ("202642", 4000)), []),  # one period
        (((None, 0), ("202644", 4000)), []),
        ((("202642", 0), (None, 0)), []),
    ],
)
def test_unpaid_lines_of_an_earlier_period_are_superseded(rows, expected):
    assert superseded(*rows) == expected


def test_another_invoice_supersedes_nothing():
    rows = [{"payment_period": "202642"}, {"payment_period": "202644", "paid_cents": 4000}]
    for invoices in (("400000001", "400000002"), (None, None), ("", "")):
        found = exclusions([{**row, "invoice": invoice} for row, invoice in zip(rows, invoices, strict=True)])
        assert not len(found.superseded)


def test_generated_files():
    totals = [0, 0]
    for seed in range(200):
        rows = generate(seed)
        found = find_exclusions(Claims(of_rows(rows)))
        excluded = {rows[row]["record_number"] for row in (*found.reversed, *found.superseded)}
        counted = {row["record_number"] for row in naive.standing(rows)}
        assert counted == {row["record_number"] for row in rows if row["preliminary_cents"] > 0} - excluded, (
            f"seed {seed}"
        )
        totals[0] += len(found.reversed)
        totals[1] += len(found.superseded)
    assert min(totals) > 500
