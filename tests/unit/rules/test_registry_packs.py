"""Core rules and checks in one list: what runs, what may be asked for by name, what a pack of one's own changes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from facnet_grpc.errors import InvalidInput, NotFound, Reason
from facnet_grpc.rules import registry
from facnet_grpc.rules.api import RuleInfo
from facnet_grpc.rules.checks import Status
from facnet_grpc.rules.registry import RULES, Listed, Registry, load
from facnet_grpc.settings.environment import SettingsError

PACK = """
[[check]]
id = "MINE_1"
category = "house"
certainty = "uncertain"
source = "House rules"

[check.text.fr]
name = "Deux par jour"
message = "{count} lignes\N{NO-BREAK SPACE}: {max} au plus."
solution = "Retirez les autres."

[check.text.en]
name = "Two a day"
message = "{count} lines: {max} at most."
solution = "Remove the others."

[[check.test]]
scenario = "exceeded"
primitive = "max_count"
severity = "warning"
group = "doctor+patient+day"
codes = ["15804"]
max = 2

[[switch]]
check = "A11"
enabled = false
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "mine.toml").write_text(PACK, encoding="utf-8")
    return tmp_path


def ids(rules):
    return [rule.info.id for rule in rules]


def test_core_rules_and_checks_are_one_list_by_id():
    rules = load()
    assert ids(rules.listed) == sorted(ids(rules.listed))
    assert len(rules.listed) == len(RULES) + 112
    assert {rule.info.id for rule in RULES} < set(ids(rules.select([])))
    assert rules.version == registry.rule_set_version()


def test_a_core_rule_and_a_check_never_see_the_same():
    covered = {one.info.id: one.note for one in load().listed if one.status is Status.COVERED}
    assert set(covered.values()) <= {rule.info.id for rule in RULES}
    assert set(covered) == {"A01", "A02", "A03", "A10", "T06"}
    assert not set(covered) & set(ids(load().select([])))


def test_what_is_off_runs_if_it_is_named(folder):
    rules = load(folder)
    assert "MINE_1" not in ids(rules.select([]))
    assert "A11" not in ids(rules.select([]))
    assert ids(rules.select(["office_fee", "MINE_1", "A11"])) == ["A11", "MINE_1", "office_fee"]
    assert rules.get("MINE_1").names["fr"] == "Deux par jour"
    assert rules.version != load().version


@pytest.mark.parametrize("wanted", [["nothing"], ["A01"], ["L03", "A11"]])
def test_what_cannot_be_run_is_refused(wanted):
    with pytest.raises(InvalidInput) as caught:
        load().select(wanted)
    assert caught.value.params["field"] == "rule_ids"
    assert caught.value.params["unknown"] == 1


def test_rules_that_an_old_run_named_and_that_are_gone_are_left_out():
    rules = load()
    assert ids(rules.still(["office_fee", "long_gone"])) == ["office_fee"]
    assert rules.still(["long_gone"]) == ()
    assert rules.still([]) == rules.select([])


def test_a_rule_is_found_by_its_id():
    assert load().get("A01").status is Status.COVERED
    with pytest.raises(NotFound) as caught:
        load().get("nothing")
    assert caught.value.reason is Reason.RULE_NOT_FOUND


def test_a_pack_that_cannot_be_used_says_where(tmp_path):
    (tmp_path / "bad.toml").write_text(PACK.replace('"max_count"', '"max_cuont"'), encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load(tmp_path)
    assert f"{tmp_path / 'bad.toml'}:20: " in str(caught.value)
    assert str(caught.value).startswith("FACNET_RULE_PACKS_DIR: ")


def test_a_pack_cannot_take_the_name_of_a_core_rule(tmp_path):
    (tmp_path / "bad.toml").write_text(PACK.replace("MINE_1", "office_fee"), encoding="utf-8")
    with pytest.raises(SettingsError, match="two rules have the id 'office_fee'"):
        load(tmp_path)


def test_a_folder_that_is_not_there_is_a_problem_of_the_settings(tmp_path):
    with pytest.raises(SettingsError, match="is no folder"):
        load(tmp_path / "none")


def test_rules_of_installed_packages_are_found_and_count_in_the_version(monkeypatch, tmp_path):
    info = RULES[0].info
    mine = SimpleNamespace(
        info=RuleInfo("theirs", "1", "x", info.certainty, info.severities, info.scenarios, (), "theirs")
    )
    entry = SimpleNamespace(name="theirs", value="theirs:rules", dist=None, load=lambda: lambda: [mine])
    monkeypatch.setattr("facnet_grpc.rules.checks.packs.entry_points", lambda **_: [entry])
    monkeypatch.setattr(registry, "entry_points", lambda **_: [entry])
    rules = load(tmp_path)
    assert "theirs" in ids(rules.select([]))
    assert rules.version != registry.rule_set_version()


def test_two_rules_of_one_id_are_a_mistake():
    listed = Listed(RULES[0].info, RULES[0])
    with pytest.raises(ValueError, match="two rules"):
        Registry([listed, listed], "1")
