"""Headers as they come: names lost, mangled, moved, doubled or missing."""

import pytest
from claim_files import HEADER, line, read_bytes, read_lines, reason_of

from facnet_grpc.errors import Reason
from facnet_grpc.ingest.columns import recognise
from facnet_grpc.sample.cells import HEADER as SAMPLE_HEADER


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("Montant payé", "paid_cents"),
        ("MONTANT PAYE", "paid_cents"),
        ("Montant pay\ufffd", "paid_cents"),
        ("Montant pay?", "paid_cents"),
        ("Montant payÃ©", "paid_cents"),
        ("montant_pay", "paid_cents"),
        ("  Montant\u00a0payé ", "paid_cents"),
        ("Montant paye\u0301", "paid_cents"),
        ("Montant Preliminaire", "preliminary_cents"),
        ("Montant préliminaire", "preliminary_cents"),
        ("Element de contexte", "context"),
        ("Élement de contexte", "context"),
        ("Élément de contexte", "context"),
        ("Ã‰lÃ©ment de contexte", "context"),
        ("?l?ment de contexte", "context"),
        ("D\ufffdbut", "start_time"),
        ("Unit\u00c3\u00a9s", "units"),
        ("R?le", "role"),
        ("Secteur d\u2019activité", "activity_sector"),
        ("Date de Service", "service_date"),
        ("NAM", "patient_key"),
        ("#", "line_label"),
    ],
)
def test_names_in_every_state(text, column):
    assert recognise(text)[0] == column


@pytest.mark.parametrize(
    "text", ["", "Grand Total", "DEV NOTE - À TRADUIRE: Code", "Codes postaux", "15804", "payé par"]
)
def test_other_names_are_left_alone(text):
    assert recognise(text) is None


def test_all_columns_of_the_exports_are_known():
    unknown = [name for name in SAMPLE_HEADER if not recognise(name)]
    assert unknown == [*(name for name in SAMPLE_HEADER if name.startswith("DEV NOTE")), "Grand Total"]


def test_titles_above_the_header():
    title = 'Rapport;du 2025-01-01\r\n\r\nClinique; "Les Érables\r\n'
    result = read_bytes((title + HEADER + "\r\n" + line() + "\r\n").encode("cp1252"))
    assert result.format.header_line == 4
    assert result.lines[0]["record_number"] == 1


def test_any_order_and_extra_columns():
    order = [3, 0, 5, 1, 4, 2]
    header = [HEADER.split(";")[number] for number in order]
    cells = [line().split(";")[number] for number in order]
    header[2:2], cells[2:2] = ["Note", ""], ["2025", ""]
    result = read_lines(";".join(cells), header=";".join(header))
    assert result.lines == read_lines(line()).lines
    assert result.format.ignored_columns == 2


def test_of_two_names_for_a_column_the_usual_one_counts():
    result = read_lines("2020-01-01;" + line(), header="Date;" + HEADER)
    assert result.lines[0]["service_date"].year == 2025


def test_one_name_twice_is_refused():
    error = reason_of((HEADER + ";CODE\n" + line() + ";1\n").encode("cp1252"))
    assert error.reason is Reason.DUPLICATE_COLUMNS
    assert error.params == {"columns": ["Code"]}


def test_missing_columns_are_named_with_their_nearest():
    header = "Date Servce;Code;Doctor Info;Patient;Facture;ID RAMQ;Montant prelimnaire"
    error = reason_of((header + "\n2025-02-26;15804;1234567;x;1;1;1,00\n").encode("cp1252"))
    assert error.reason is Reason.MISSING_COLUMNS
    assert error.params["missing"] == ["Date de Service", "Montant Préliminaire"]
    assert error.params["nearest"] == ["Date Servce", "Montant prelimnaire"]
    assert error.params["found"] == ["Code", "Doctor Info", "Patient", "Facture", "ID RAMQ"]


def test_what_may_be_data_is_never_named():
    names = "Code;Patient;Facture"
    for header in (f"{names};Date Sarvice;Zoé;Béla;Roy;Luc", f"{names};ID RAMQ;Date Service 7552"):
        error = reason_of((header + "\n1;2;3\n").encode("cp1252"))
        assert error.reason is Reason.MISSING_COLUMNS
        assert error.params["nearest"] == []
