"""`facnet inspect` as a user calls it: what a file looks like, in both languages, and nothing of what it says."""

from __future__ import annotations

import pytest
from facnet_process import SAMPLE, run_facnet


def test_a_good_file_is_described():
    ended = run_facnet("inspect", SAMPLE)
    assert ended.code == 0, ended.err
    assert "Encodage\N{NO-BREAK SPACE}: cp1252" in ended.out
    assert "Séparateur\N{NO-BREAK SPACE}: ;" in ended.out
    assert "9999-99-99" in ended.out
    names = SAMPLE.read_text("cp1252").splitlines()[1].split(";")
    assert names[2] not in ended.out


def test_as_json_in_english():
    ended = run_facnet("inspect", SAMPLE, "--json", "--lang", "en", "--lines", "1")
    (seen,) = ended.lines
    assert (seen["encoding"], seen["delimiter"], seen["decimal_mark"], seen["error"]) == ("cp1252", ";", ",", None)
    assert seen["columns"]["code"] == "Code"
    assert len(seen["first_lines"]) == 1


@pytest.mark.parametrize(("language", "word"), [("fr", "colonnes"), ("en", "column")])
def test_a_file_that_would_be_refused_says_why(tmp_path, language, word):
    path = tmp_path / "claims.csv"
    path.write_text("Nom;Date;Code\nTremblay;2025-01-01;15804\n")
    ended = run_facnet("inspect", path, "--lang", language)
    assert ended.code == 1
    assert word in ended.out.lower()
    assert "Tremblay" not in ended.out + ended.err


def test_a_file_that_is_not_there(tmp_path):
    ended = run_facnet("inspect", tmp_path / "none.csv")
    assert ended.code == 3
    assert "Traceback" not in ended.err
