"""The files of `files/`, read as uploads are, judged by all rules that are on: `expected.toml` says what comes out."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from facnet_grpc.ingest.reader import open_claims
from facnet_grpc.reference.snapshot import shipped
from facnet_grpc.rules.engine import RulesReport, run_rules
from facnet_grpc.rules.registry import for_run, select
from facnet_grpc.rules.table.columns import LineCollector
from tests.rules.casefile import read_table
from tests.rules.tables import cents

FILES = Path(__file__).parent / "files"
EXPECTED = tomllib.loads((FILES / "expected.toml").read_text(encoding="utf-8"))["file"]
DAY = datetime(2026, 11, 30, 17, tzinfo=UTC)


def judge(path: Path) -> RulesReport:
    collector = LineCollector()
    with open_claims(lambda: path.open("rb"), path.stat().st_size) as file:
        for batch in file.batches():
            assert not batch.rejected.num_rows
            collector.add(batch.lines)
    return run_rules(collector.finish(), shipped(), for_run(select(()), DAY), on_rule_done=lambda _: None)


@pytest.mark.parametrize("entry", EXPECTED, ids=lambda entry: entry["name"])
def test_a_file_gives_these_results_and_no_others(entry):
    found = [
        (
            row["rule_id"],
            row["scenario"],
            row["severity"],
            " ".join(map(str, row["affected_records"])),
            row["at_risk_cents"],
            row["potential_gain_cents"],
        )
        for row in judge(FILES / entry["name"]).results.to_pylist()
    ]
    expected = [
        (row["rule"], row["scenario"], row["severity"], row["lines"], cents(row["at risk"]), cents(row["gain"]))
        for row in read_table(entry.get("expect", ""))
    ]
    assert found == expected, entry["why"]


def test_every_file_has_an_expectation():
    assert {path.name for path in FILES.glob("*.csv")} == {entry["name"] for entry in EXPECTED}
