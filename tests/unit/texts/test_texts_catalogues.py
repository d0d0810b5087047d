"""The catalogues are complete, agree between the languages, and are typeset well."""

import ast
import re
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

from facnet_grpc import errors
from facnet_grpc.errors import FacnetError, Reason
from facnet_grpc.ingest.options import RejectReason
from facnet_grpc.model.billing import BILLING_SCHEMA
from facnet_grpc.texts.catalogue import OPTIONAL, PLACEHOLDER, UNKNOWN, load
from facnet_grpc.texts.language import Locale
from facnet_grpc.texts.render import error_text

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "facnet_grpc" / "texts" / "locale"
NO_BREAK_BEFORE = re.compile(r"[^\N{NO-BREAK SPACE}\d]:(?![\d/])|[^\N{NO-BREAK SPACE}]»|«[^\N{NO-BREAK SPACE}]")


def test_languages_have_the_same_keys():
    french, english = (load(locale).entries for locale in Locale)

    assert sorted(french) == sorted(english)


@pytest.mark.parametrize("locale", Locale)
def test_every_reason_has_a_message_and_a_cure(locale):
    keys = load(locale).entries

    assert [reason for reason in Reason if f"{reason}.message" not in keys or f"{reason}.cure" not in keys] == []


@pytest.mark.parametrize("locale", Locale)
def test_every_reject_reason_and_column_has_a_text(locale):
    keys = load(locale).entries

    assert {f"reject.{reason}" for reason in RejectReason} <= keys.keys()
    assert {f"column.{name}" for name in BILLING_SCHEMA.names if name != "record_number"} <= keys.keys()


def test_no_text_is_for_a_reason_or_a_column_that_does_not_exist():
    known = {f"{reason}.{part}" for reason in Reason for part in ("message", "cure")}
    known |= {f"reject.{reason}" for reason in RejectReason} | {f"column.{name}" for name in BILLING_SCHEMA.names}
    catalog = _po(FOLDER / "fr" / "errors.po")

    assert {_key(message) for message in catalog if message.id} - known == set()


@pytest.mark.parametrize("key", sorted(load(Locale.FR).entries))
def test_languages_use_the_same_placeholders(key):
    placeholders = [
        {name for form in load(locale).entries[key].forms for name in PLACEHOLDER.findall(form)} for locale in Locale
    ]

    assert placeholders[0] == placeholders[1]


def test_languages_count_by_the_same_parameter():
    french, english = (load(locale).entries for locale in Locale)

    assert {key for key, entry in french.items() if entry.counter != english[key].counter} == set()


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*/*.po")), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_no_entry_is_fuzzy_obsolete_empty_or_in_another_language(path):
    catalog = _po(path)

    assert [message.id for message in catalog if message.fuzzy and message.id] == []
    assert dict(catalog.obsolete) == {}
    assert [message.id for message in catalog if not all(_forms(message))] == []
    assert catalog.locale_identifier == path.parent.name


def test_french_has_its_no_break_spaces():
    wrong = {
        key: form
        for key, entry in load(Locale.FR).entries.items()
        for form in entry.forms
        if NO_BREAK_BEFORE.search(form)
    }

    assert wrong == {}


@pytest.mark.parametrize("locale", Locale)
def test_no_bracket_is_left_open(locale):
    texts = (form for entry in load(locale).entries.values() for form in entry.forms)

    assert [text for text in texts if re.search(r"[\[\]]", OPTIONAL.sub("", text))] == []


@pytest.mark.parametrize("locale", Locale)
@pytest.mark.parametrize("reason", Reason)
def test_a_text_without_any_parameter_is_a_whole_sentence(reason, locale):
    """A part that raises with fewer parameters than others still gets a sentence that can be read."""
    text = error_text((reason.value, {}), locale)

    for sentence in (text.message, text.cure):
        assert UNKNOWN not in sentence
        assert "{" not in sentence
        assert sentence.endswith(".")
        assert "  " not in sentence
        assert not re.search(r"\s[.,]|[:;]\.", sentence)


def test_every_parameter_of_an_error_text_is_given_somewhere():
    """A text that waits for a parameter under another name than the code gives would never show it."""
    elsewhere = {  # made of a mapping, or in SQL
        ("NO_USABLE_ROWS", "rejected"),
        ("NO_USABLE_ROWS", "reject"),
        ("BAD_REFERENCE_FILE", "heading"),
        ("WORKER_CRASHED", "attempts"),
    }
    given = {
        (reason, name)
        for reason, parameter in _given()
        for name in (parameter, parameter.removesuffix("_bytes"), parameter.removesuffix("_cents"))
    }
    used = {
        (reason.value, name)
        for reason in Reason
        for part in ("message", "cure")
        for form in load(Locale.EN).entries[f"{reason}.{part}"].forms
        for name in PLACEHOLDER.findall(form)
    }

    assert used - given - elsewhere == set()


def _given():
    """Yield reason and parameter name of every error that the code makes."""
    for package in ("facnet_grpc", "workers"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                kind = getattr(errors, getattr(getattr(node, "func", None), "id", ""), None)
                if isinstance(kind, type) and issubclass(kind, FacnetError):
                    reason = getattr(node.args[0], "attr", "") if node.args else kind.default_reason.value
                    yield from ((reason, keyword.arg) for keyword in node.keywords if keyword.arg)


def _po(path):
    with path.open("rb") as file:
        return read_po(file, abort_invalid=True)


def _key(message):
    return message.id if isinstance(message.id, str) else message.id[0]


def _forms(message):
    return [message.string] if isinstance(message.string, str) else message.string


def test_translated_parameters_are_the_ones_that_name_columns():
    text = error_text(("MISSING_COLUMNS", {"missing": ["code"], "found": "code"}), Locale.FR)

    assert "Code" in text.message
    assert "Colonnes trouvées\N{NO-BREAK SPACE}: code" in text.message
