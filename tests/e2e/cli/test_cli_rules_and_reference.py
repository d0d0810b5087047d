"""`facnet rules`, `facnet reference` and `facnet revalidate` on the real thing."""

from __future__ import annotations

import csv
import io

import pytest
from facnet_process import SAMPLE, run_facnet

from tests.rules.pack_text import HOUSE


@pytest.fixture
def places(facnet, tmp_path):
    """A list of the places of the sample, the offices of a GMF; afterwards there is none of a GMF any more."""
    text = SAMPLE.read_bytes().decode("cp1252", "replace")
    numbers = {
        cell.strip().zfill(5)
        for row in csv.reader(io.StringIO(text), delimiter=";")
        for cell in row[7:8]
        if cell.strip().isdigit()
    }
    path = tmp_path / "places.csv"
    lines = [f"{number},Clinique {number},cabinet,{'oui' if number[0] == '5' else 'non'}" for number in sorted(numbers)]
    path.write_text("\n".join(["number,name,type,gmf", *lines]) + "\n", encoding="utf-8")
    yield path
    empty = tmp_path / "one.csv"
    empty.write_text("number,name,type,gmf\n99999,Nulle part,cabinet,non\n", encoding="utf-8")
    assert facnet("reference", "import", empty).code == 0


def missed(results):
    return [one for one in results if (one["rule_id"], one["scenario"]) == ("gmf_supplement", "missed")]


def test_with_establishments_the_missed_gmf_supplement_is_found_from_the_next_run_on(facnet, places):
    before = facnet("submit", "--watch", "--json", SAMPLE).json["validation"]
    first = facnet("show", before["validation_id"], "--json").json["summary"]
    assert missed(first["scenarios"]) == []
    if before["reference_version"].startswith("2019"):  # as shipped: nobody has imported any establishments
        lacking = {rule["rule_id"]: rule["missing_columns"] for rule in first["not_evaluable"]}
        assert lacking["gmf_supplement"] == ["establishments"]
    made = facnet("reference", "import", places, "--json").json
    assert made["added"] > 0

    told = facnet("revalidate", before["validation_id"], "--json").lines
    summary = told[-1]["summary"]
    assert summary["added"] == len(told) - 1 > 0
    assert (summary["gone"], summary["changed"]) == (0, 0)
    assert summary["reference_version_before"] == before["reference_version"] != made["reference_version"]
    assert summary["reference_version_after"] == made["reference_version"]
    assert summary["rule_set_version_before"] == summary["rule_set_version_after"]
    assert {change["change"]["kind"] for change in told[:-1]} == {"added"}

    after = facnet("submit", "--watch", "--json", SAMPLE).json["validation"]
    assert after["reference_version"] == made["reference_version"]
    found = facnet("results", after["validation_id"], "--json", "--rule", "gmf_supplement").lines
    gained = missed(found)
    assert len(gained) == summary["added"]
    assert {one["potential_gain_cents"] for one in gained} == {935}
    assert all(one["message"] and one["severity"] == "optimization" for one in gained)
    ignored = {"result_number"}
    assert [{key: one[key] for key in one.keys() - ignored} for one in gained] == [
        {key: change["change"]["after"][key] for key in change["change"]["after"].keys() - ignored}
        for change in told[:-1]
    ]

    text = facnet("revalidate", before["validation_id"])
    assert "+ nouveau" in text.out
    assert f"{summary['added']} nouveaux".replace(" ", "") in text.out.replace("\N{NO-BREAK SPACE}", "").replace(
        " ", ""
    )
    assert "→" in text.out


def test_a_run_judged_again_by_the_same_rules_is_the_same(facnet):
    run = facnet("submit", "--watch", "--json", SAMPLE).json["validation"]
    (only,) = facnet("revalidate", run["validation_id"], "--json").lines
    counts = run["result_counts"]
    assert only["summary"]["unchanged"] == sum(counts.values())
    assert (only["summary"]["added"], only["summary"]["gone"], only["summary"]["changed"]) == (0, 0, 0)


def test_versions_codes_and_their_differences(facnet, places):
    shipped = facnet("reference", "show", "--json").json["reference_version"]
    with places.open("a", encoding="utf-8") as file:
        file.write("98765,Clinique du coin,cabinet,oui\n")
    made = facnet("reference", "import", places, "--source", "our own list", "--json").json["reference_version"]
    assert "our own list" in facnet("reference", "show", made).out
    assert facnet("reference", "import", places).out.startswith("Rien de nouveau")

    codes = facnet("reference", "codes", "--prefix", "1582", "--json").lines
    assert {code["code"][:4] for code in codes} == {"1582"}
    every = facnet("reference", "establishments", "--json").lines
    of_gmf = facnet("reference", "establishments", "--gmf").out.splitlines()
    assert "98765  GMF  cabinet      Clinique du coin" in of_gmf
    assert len(of_gmf) < len(every)

    differences = facnet("reference", "diff", shipped, made, "--json").lines
    assert {one["kind"] for one in differences} == {"establishments"}
    back = facnet("reference", "diff", made, shipped).out
    assert back.count("\n") == len(differences)


def test_a_file_that_cannot_be_imported_changes_nothing(facnet, tmp_path):
    before = facnet("reference", "show", "--json").json
    path = tmp_path / "bad.csv"
    path.write_text("number,name,type,gmf\n12345,A,CLSC,perhaps\n", encoding="utf-8")
    ended = facnet("reference", "import", path)
    assert ended.code == 3
    assert "(ligne 2, colonne gmf)" in ended.err
    assert facnet("reference", "show", "--json").json == before


def test_rules_are_listed_and_shown(facnet):
    on = facnet("rules", "list", "--json").lines
    every = facnet("rules", "list", "--all", "--json").lines
    assert len(every) > len(on) > 100
    assert [one["rule_id"] for one in on] == sorted(one["rule_id"] for one in on)
    text = facnet("rules", "show", "office_fee", "--lang", "en").out
    assert "$64.80" in text
    assert "Likely" in text or "likely" in text
    off = facnet("rules", "show", "A01").out
    assert "annual_visit" in off


def test_a_pack_is_checked_and_tested_without_a_server(tmp_path):
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text(HOUSE, encoding="utf-8")
    bad.write_text(HOUSE.replace("max = 2", "max = 2\nhint = 1"), encoding="utf-8")
    assert run_facnet("rules", "validate", good).code == 0
    tested = run_facnet("rules", "test", good, "--json")
    assert tested.json == {"pack": str(good), "ok": True, "problems": 0, "passed": 3}
    wrong = run_facnet("rules", "validate", bad)
    assert wrong.code == 1
    assert wrong.out.startswith(f"{bad}:")
    assert "hint" in wrong.out
    failing = tmp_path / "failing.toml"
    failing.write_text(HOUSE.replace(" ! exceeded =10.00", ""), encoding="utf-8")
    assert run_facnet("rules", "validate", failing).code == 0
    ended = run_facnet("rules", "test", failing, "--lang", "en")
    assert ended.code == 1
    assert "three" in ended.out
