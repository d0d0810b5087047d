"""What texts are filled with, and what happens when something is not there."""

from datetime import date
from gettext import c2py

import pytest

from facnet_grpc.errors import InvalidInput, LimitExceeded, Reason, RunCancelled, TerminalError
from facnet_grpc.texts.catalogue import Catalogue, Entry, extend, fill, load, prepare
from facnet_grpc.texts.language import Locale
from facnet_grpc.texts.render import (
    ErrorText,
    ResultText,
    column_name,
    error_text,
    reject_text,
    result_text,
    rule_name,
    scenario_title,
)

FR, EN = Locale.FR, Locale.EN
S = "\N{NO-BREAK SPACE}"


def test_error_in_both_languages():
    error = LimitExceeded(Reason.FILE_TOO_LARGE, max_bytes=2 << 30)

    assert error_text(error, FR).message.endswith(f": la limite est de 2{S}Gio.")
    assert error_text(error, EN).message.endswith(f": the limit is 2{S}GiB.")


def test_stored_code_and_params_read_like_the_error():
    error = TerminalError(Reason.MISSING_COLUMNS, missing=["code", "doctor_key"])

    assert error_text((error.reason.value, dict(error.params)), FR) == error_text(error, FR)


def test_columns_have_the_reader_s_names():
    error = TerminalError(Reason.MISSING_COLUMNS, missing=["service_date", "preliminary_cents"])

    assert "Date de Service et Montant Preliminaire" in error_text(error, FR).message
    assert "date of service and preliminary amount" in error_text(error, EN).message


def test_number_of_missing_columns_decides_the_plural():
    one = error_text(TerminalError(Reason.MISSING_COLUMNS, missing=["code"]), FR)
    two = error_text(TerminalError(Reason.MISSING_COLUMNS, missing=["code", "units"]), FR)

    assert "une colonne" in one.message
    assert "des colonnes" in two.message


def test_unknown_code_reads_as_internal():
    assert error_text(("NO_SUCH_REASON", {}), EN) == error_text((Reason.INTERNAL.value, {}), EN)


def test_default_reasons_have_texts():
    assert error_text(RunCancelled(), EN) == error_text(("WRONG_STATE", {}), EN)
    assert "page_size" in error_text(InvalidInput(field="page_size"), EN).message


def test_a_parameter_cannot_smuggle_in_a_placeholder():
    text = error_text(InvalidInput(field="{__class__}[{expected}]"), EN)

    assert "{__class__}[{expected}]" in text.message


def test_reject_reasons():
    assert (
        reject_text("bad_date", "service_date", FR) == f"La date de la colonne «{S}Date de Service{S}» est illisible."
    )
    assert reject_text("bad_date", None, EN) == "The date cannot be read."
    assert reject_text("missing_required", "code", EN).startswith("The column “code” is empty: the line")
    assert reject_text("made_up", "code", EN) == "made_up"


def test_unknown_column_keeps_its_name():
    assert column_name("made_up", FR) == "made_up"


def test_a_rule_without_texts_reads_as_its_key():
    assert result_text("mine", "twice", {"count": 2}, FR) == ResultText("mine.twice.message", "mine.twice.solution")
    assert scenario_title("mine", "twice", FR) == "mine.twice.title"
    assert rule_name("mine", FR) == "mine"


@pytest.mark.parametrize("locale", Locale)
def test_a_rule_that_raised_has_a_text_even_if_it_is_the_user_s_own(locale):
    text = result_text("mine", "system_error", {"error_class": "KeyError"}, locale)

    assert "(KeyError)" in text.message
    assert "system_error" not in text.message + text.solution + scenario_title("mine", "system_error", locale)


def test_result_names_what_it_is_about():
    texts = {
        "example_rule.name": "Example",
        "example_rule.s.title": "Title",
        "example_rule.s.message": "{doctor}, {service_date}, one line ({record_number}), {at_risk}",
        "example_rule.s.solution": "Gain {potential_gain}[ on {other_date}][ at {place}][ code {code}].",
    }
    for locale in Locale:  # as for a rule pack
        extend(locale, texts)
    text = result_text(
        "example_rule",
        "s",
        {"other_date": "2025-03-01", "code": "08857"},
        EN,
        doctor="Dr M***",
        service_date=date(2025, 2, 26),
        affected_records=(1200, 7),
        at_risk_cents=6480,
        potential_gain_cents=3240,
    )

    assert text.message == "Dr M***, February 26, 2025, one line (1200), $64.80"
    assert text.solution == "Gain $32.40 on March 1, 2025 code 08857."
    assert (rule_name("example_rule", EN), scenario_title("example_rule", "s", EN)) == ("Example", "Title")


@pytest.mark.parametrize(("lines", "text"), [(1.0, "one line (1 and 2)"), (1500, "1,500 lines (1 and 2), $1.00")])
def test_the_counting_parameter_chooses_the_plural(lines, text):
    entry = Entry(("one line ({records})", "{lines} lines ({records}), {paid}"), "lines")
    catalogue = Catalogue({"key": entry}, c2py("n != 1"))

    assert catalogue.render("key", prepare({"lines": lines, "paid_cents": 100, "records": [1, 2]}, EN)) == text


def test_parts_in_brackets_are_left_out_together():
    assert fill("a[ {x} {y}][ {x}]", {"x": "1"}) == "a 1"
    assert fill("{x} {y}", {"x": "1"}) == "1 ?"


def test_parameters_are_formatted_by_their_names():
    params = prepare(
        {
            "gain_cents": 10,
            "max_bytes": 1024,
            "year": 2025,
            "count": 1234,
            "ratio": 1.5,
            "date": "nonsense",
            "due_date": date(2025, 1, 2),
            "dates": [],
            "flag": None,
            "whole": 3.0,
        },
        EN,
    )

    assert dict(params.texts) == {
        "gain_cents": "10",
        "gain": "$0.10",
        "max_bytes": "1,024",
        "max": f"1{S}KiB",
        "year": "2025",
        "count": "1,234",
        "ratio": "1.5",
        "date": "nonsense",
        "due_date": "January 2, 2025",
        "whole": "3",
    }
    assert params.counts["count"] == 1234


def test_a_parameter_of_its_own_name_is_not_replaced_by_a_short_form():
    assert prepare({"at_risk": "kept", "at_risk_cents": 5}, EN).texts["at_risk"] == "kept"


def test_catalogue_is_read_once():
    assert load(FR) is load(FR)


def test_error_text_is_two_sentences():
    assert error_text(("EMPTY_FILE", {}), EN) == ErrorText(
        "The file is empty.",
        "Export the claim report again, and check that it has lines before sending it.",
    )
