"""The registry is complete: no rule without registration, documentation, cases."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import facnet_grpc.rules
from facnet_grpc.model.billing import RULE_SCHEMA
from facnet_grpc.model.result import Severity
from facnet_grpc.rules.engine import rule_set_version
from facnet_grpc.rules.registry import RULES

CATALOG = Path(facnet_grpc.rules.__file__).parent / "catalog"
CASES = Path(__file__).parents[2] / "rules" / "cases"
NAMES = sorted(path.stem for path in CATALOG.iterdir() if not path.name.startswith("__"))
MODULES = {rule.info.id: sys.modules[type(rule).__module__] for rule in RULES}


@pytest.mark.parametrize("name", NAMES)
def test_a_file_in_the_catalog_is_a_registered_rule_with_cases_and_a_page(name):
    assert MODULES[name].__name__.removesuffix(".rule") == f"facnet_grpc.rules.catalog.{name}"
    assert (CASES / f"{name}.toml").is_file()
    page = MODULES[name].__doc__
    for heading in ("What it checks", "Why", "Source", "An example", "What to do", "Readings"):
        assert f"\n{heading}\n" in page, heading


def test_no_case_file_is_without_a_rule():
    assert sorted(path.stem for path in CASES.glob("*.toml")) == NAMES


def test_rules_are_listed_by_id_once():
    ids = [rule.info.id for rule in RULES]
    assert ids == sorted(set(ids))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.info.id)
def test_what_a_rule_says_of_itself_is_consistent(rule):
    info = rule.info
    assert info.version
    assert info.source
    assert info.severities
    assert set(info.severities) <= set(Severity)
    assert len(set(info.scenarios)) == len(info.scenarios) > 0
    assert {*info.needs, *info.reads} <= set(RULE_SCHEMA.names)
    assert set(info.scenario_certainty) <= set(info.scenarios)
    assert all(parameter.source for parameter in info.parameters)


def test_the_version_of_the_rule_set_is_short_and_stable():
    assert rule_set_version() == rule_set_version()
    assert len(rule_set_version()) == 12
    int(rule_set_version(), 16)
