"""100,000 lines through the real command, against rules and a reader that share no code with the service."""

from __future__ import annotations

import csv
import json
from collections import Counter
from datetime import UTC, date, datetime, time

import pytest

from facnet_grpc.calendar import day_in_quebec
from tests.rules import naive

ROWS = 100_000


def plain_rows(path):
    """Read the sample's usual dialect with the standard library and nothing else."""
    with path.open(encoding="cp1252", newline="") as file:
        for number, cells in enumerate(csv.DictReader(file, delimiter=";"), start=1):
            yield {
                "record_number": number,
                "invoice": cells["Facture"] or None,
                "payment_period": int(cells["Periode"]) if cells["Periode"] else None,
                "service_date": date.fromisoformat(cells["Date de Service"]),
                "start_time": moment(cells["Début"]),
                "end_time": moment(cells["Fin"]),
                "place": cells["Lieu de pratique"].zfill(5) if cells["Lieu de pratique"] else None,
                "code": cells["Code"].zfill(5),
                "units": int(cells["Unités"]) if cells["Unités"] else None,
                "context": ",".join(cells["Élement de contexte"].replace("#", "").replace(",", " ").upper().split()),
                "preliminary_cents": cents(cells["Montant Preliminaire"]),
                "paid_cents": cents(cells["Montant payé"]),
                "doctor_key": cells["Doctor Info"][:7],
                "patient_key": cells["Patient"][:12] or None,
            }


def moment(cell):
    return time.fromisoformat(cell) if cell else None


def cents(cell):
    return int(cell.replace(",", "").replace(" ", "").replace("\N{NO-BREAK SPACE}", "")) if cell else None


def told(finding):
    """What of a naive finding leaves the service in the clear."""
    return (
        finding.scenario,
        finding.severity,
        finding.affected,
        finding.day.isoformat() if finding.day else "",
        finding.at_risk,
        finding.gain,
    )


def written(result):
    return (
        result["scenario"],
        result["severity"],
        tuple(result["affected_records"]),
        result["service_date"],
        result["at_risk_cents"],
        result["potential_gain_cents"],
    )


@pytest.fixture(scope="module")
def sample(tmp_path_factory, facnet_once):
    path = tmp_path_factory.mktemp("naive") / "claims.csv"
    assert facnet_once("sample", ROWS, path, "--seed", 7).code == 0
    return path


@pytest.fixture(scope="module")
def results(sample, facnet_once):
    out = sample.with_suffix(".jsonl")
    ended = facnet_once("run", sample, "--results", out, "--json")
    assert ended.code == 0, ended.err
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("rule", ["office_fee", "annual_visit"])
def test_a_run_finds_what_a_plain_recomputation_finds(rule, sample, results):
    rows = list(plain_rows(sample))
    today = day_in_quebec(datetime.now(UTC))
    facts = (today, rows) if rule == "annual_visit" else ()
    expected, _ = getattr(naive, rule)(naive.standing(rows), *facts)
    found = Counter(written(result) for result in results if result["rule_id"] == rule)
    assert len(expected) > 50
    assert found == Counter(map(told, expected))
