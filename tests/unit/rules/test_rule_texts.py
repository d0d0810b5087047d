"""Every scenario of every rule can be told in French and English, from what the scenario says of itself."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

import facnet_grpc.texts
from facnet_grpc.reference.snapshot import shipped
from facnet_grpc.rules.engine import run_rules
from facnet_grpc.rules.registry import RULES, for_run
from facnet_grpc.texts.language import Locale
from facnet_grpc.texts.render import result_text, rule_name, scenario_title
from tests.rules.compare import TODAY, with_sites
from tests.rules.generate import generate
from tests.rules.tables import of_rows

# What the loader offers beside a result's data.
ALWAYS = {"doctor", "service_date", "record_number", "records", "at_risk", "potential_gain"}
PLACEHOLDER = re.compile(r"\{(\w+)\}")
NBSP = "\u00a0"
CORE = RULES


@pytest.fixture(scope="module")
def catalogues():
    return {locale: catalogue(locale) for locale in Locale}


@pytest.fixture(scope="module")
def facts():
    """What each scenario of each rule says of itself: the names that all of its findings have."""
    names = {}
    for seed in range(40):
        report = run_rules(of_rows(generate(seed)), with_sites(), for_run(CORE, TODAY), on_rule_done=lambda _: None)
        for row in report.results.to_pylist():
            data = set(json.loads(row["data"]))
            key = row["rule_id"], row["scenario"]
            names[key] = names.get(key, data) & data
    return names


def catalogue(locale):
    """Return each text of the catalogue by its key; the plural forms of one text stand after each other."""
    path = Path(facnet_grpc.texts.__file__).parent / "locale" / locale.value / "rules.po"
    with path.open("rb") as file:
        messages = [message for message in read_po(file) if message.id]
    single = {message.id: message.string for message in messages if not message.pluralizable}
    return single | {message.id[0]: " ".join(message.string) for message in messages if message.pluralizable}


def keys():
    for rule in CORE:
        yield from (f"{rule.info.id}.{part}" for part in ("name", "description"))
        for scenario in (*rule.info.scenarios, "system_error"):
            yield from (f"{rule.info.id}.{scenario}.{part}" for part in ("title", "message", "solution"))
    yield from (f"system_error.{part}" for part in ("name", "description", "title", "message", "solution"))


@pytest.mark.parametrize("locale", Locale)
def test_every_text_exists(catalogues, locale):
    assert {key for key in keys() if not catalogues[locale].get(key)} == set()


def test_no_text_belongs_to_nothing(catalogues):
    owners = {rule.info.id for rule in CORE} | {"system_error"}
    for texts in catalogues.values():
        assert {key for key in texts if key.split(".")[0] in owners} == set(keys())


@pytest.mark.parametrize("locale", Locale)
def test_every_placeholder_is_among_the_facts(catalogues, facts, locale):
    for rule in CORE:
        for scenario in rule.info.scenarios:
            names = facts[rule.info.id, scenario]
            offered = ALWAYS | names | {name.removesuffix("_cents") for name in names}
            for part in ("title", "message", "solution"):
                text = catalogues[locale][f"{rule.info.id}.{scenario}.{part}"]
                assert set(PLACEHOLDER.findall(text)) <= offered, (rule.info.id, scenario, part)


def test_facts_are_integers_codes_or_days(facts):
    for seed in range(10):
        report = run_rules(of_rows(generate(seed)), shipped(), CORE, on_rule_done=lambda _: None)
        for row in report.results.to_pylist():
            for name, value in json.loads(row["data"]).items():
                assert isinstance(value, int) or value is None or re.fullmatch(r"\d{5}|registered|walk_in|", value), (
                    name
                )


def test_results_read_well():
    rows = generate(4)
    report = run_rules(of_rows(rows), with_sites(), CORE, on_rule_done=lambda _: None)
    assert report.results.num_rows > 10
    for row in report.results.to_pylist():
        for locale in Locale:
            text = result_text(
                row["rule_id"],
                row["scenario"],
                json.loads(row["data"]),
                locale,
                doctor="Dr R***",
                service_date=row["service_date"],
                affected_records=row["affected_records"],
                at_risk_cents=row["at_risk_cents"],
                potential_gain_cents=row["potential_gain_cents"],
            )
            for sentence in (text.message, text.solution, scenario_title(row["rule_id"], row["scenario"], locale)):
                assert not re.search(r"[{}\[\]?]", sentence), sentence
                assert "  " not in sentence
                assert sentence == sentence.strip()
            assert rule_name(row["rule_id"], locale) != row["rule_id"]


def test_french_typography(catalogues):
    for key, text in catalogues[Locale.FR].items():
        assert not re.search(
            r"[^\s\u00a0]:|[^\u00a0]:(?=\s)|'|\"|\.\.\.| ;|[^\u00a0\d]\$", text.replace(f"{NBSP}:", "")
        ), key
