"""What the command line says: the language it picks, and catalogues that are whole."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from string import Formatter

import pytest

import facnet_cli
from facnet_cli.errors import ExitCode
from facnet_cli.texts import LANGUAGES, catalogue, choose, load

SOURCES = Path(str(files(facnet_cli)))


@pytest.mark.parametrize(
    ("arguments", "environ", "language"),
    [
        ([], {}, "fr"),
        ([], {"LANG": "C"}, "fr"),
        ([], {"LANG": "C.UTF-8"}, "fr"),
        ([], {"LANG": "en_CA.UTF-8"}, "en"),
        ([], {"LANG": "fr_CA.UTF-8"}, "fr"),
        ([], {"LANG": "de_DE"}, "fr"),
        ([], {"LC_ALL": "en_US", "LANG": "fr_CA"}, "en"),
        ([], {"LC_ALL": "fr_CA", "LANG": "en_US"}, "fr"),
        ([], {"LC_ALL": "C", "LANG": "en_US"}, "en"),
        (["--lang", "en"], {"LC_ALL": "fr_CA"}, "en"),
        (["list", "--lang=fr"], {"LC_ALL": "en_CA"}, "fr"),
        (["--lang", "xx"], {"LC_ALL": "en_CA"}, "en"),
        (["--lang"], {}, "fr"),
        (["submit", "--", "--lang", "en"], {}, "fr"),
    ],
)
def test_the_language_is_what_was_asked_for_or_what_the_machine_speaks_or_french(arguments, environ, language):
    assert choose(arguments, environ) == language


def entries(language):
    return {
        message.id if isinstance(message.id, str) else message.id[0]: message
        for message in catalogue(language)
        if message.id
    }


def forms(message):
    return (message.string,) if isinstance(message.string, str) else message.string


def fields(text):
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def test_both_catalogues_have_the_same_keys_all_translated():
    french, english = (entries(language) for language in LANGUAGES)
    assert french.keys() == english.keys()
    for key in french:
        assert all(forms(french[key])), key
        assert all(forms(english[key])), key
        assert french[key].pluralizable == english[key].pluralizable, key


def test_both_languages_use_the_same_placeholders():
    french, english = (entries(language) for language in LANGUAGES)
    for key in french:
        found = [fields(form) for message in (french[key], english[key]) for form in forms(message)]
        assert all(names == found[0] for names in found), key


def test_every_key_in_the_code_has_a_text_and_every_text_a_key_in_the_code():
    code = "\n".join(path.read_text("utf-8") for path in SOURCES.glob("*.py"))
    known = set(entries("fr"))
    families = {key.partition(".")[0] for key in known}
    named = {
        key for key in re.findall(r"""["']([a-z]+(?:\.[a-z_]+)+)["']""", code) if key.partition(".")[0] in families
    }
    assert named <= known
    made = tuple(re.findall(r"""f["\']([a-z]+\.(?:[a-z_]+\.)*)\{""", code))  # keys that end in the name of a value
    assert {key for key in known - named if not key.startswith(made)} == set()


def test_every_exit_code_is_explained():
    assert {f"exit.{code.name.lower()}" for code in ExitCode} <= set(entries("fr"))


def test_amounts_sizes_and_lengths_of_time_are_written_as_the_reader_does():
    french, english = load("fr"), load("en")
    assert french.money(6480).replace("\N{NO-BREAK SPACE}", " ") == "64,80 $"
    assert english.money(6480) == "$64.80"
    assert english.money(123456789) == "$1,234,567.89"
    assert english.size(512) == "512 bytes"
    assert french.size(3 << 20) == "3 Mio"
    assert french.size(1536) == "1,5 Kio"
    assert french.duration(0.084) == "0,08 s"
    assert french.duration(7.34) == "7,3 s"
    assert english.duration(125) == "2 min 05 s"


def test_plurals_follow_the_language():
    french, english = load("fr"), load("en")
    assert french.count("bar.rows", 0) == "0 ligne"
    assert english.count("bar.rows", 0) == "0 lines"
    assert french.count("bar.rows", 2) == "2 lignes"
    assert english.count("bar.rows", 1) == "1 line"
