"""Core rules and checks in one list: what runs, what may be asked for by name, what a pack of one's own changes."""

from __future__ import annotations

import pytest

from facnet_grpc.errors import InvalidInput, NotFound, Reason
from facnet_grpc.rules import registry
from facnet_grpc.rules.checks.schema import Status
from facnet_grpc.rules.registry import RULES, Registry, RegistryEntry, load
from facnet_grpc.settings.environment import SettingsError
from tests.rules.pack_text import HOUSE, SWITCH_OFF_A11, write

UNCERTAIN = HOUSE.replace('"certain"', '"uncertain"').replace('"error"', '"warning"')

THEIR_RULES = """
from facnet_grpc.rules.api import RuleInfo
from facnet_grpc.rules.catalog.office_fee.rule import OfficeFee


class Theirs(OfficeFee):
    info = RuleInfo("{rule_id}", "1", "x", OfficeFee.info.certainty, (), ("one",), (), "theirs")


def rules():
    return [Theirs()]
"""


@pytest.fixture
def folder(tmp_path):
    write(tmp_path, UNCERTAIN + SWITCH_OFF_A11)
    return tmp_path


def ids(rules):
    return [rule.info.id for rule in rules]


def test_core_rules_and_checks_are_one_list_by_id():
    rules = load()
    assert ids(rules.entries) == sorted(ids(rules.entries))
    assert len(rules.entries) == len(RULES) + 112
    assert {rule.info.id for rule in RULES} < set(ids(rules.select([])))
    assert rules.version == registry.rule_set_version()


def test_a_core_rule_and_a_check_never_see_the_same():
    covered = {one.info.id: one.note for one in load().entries if one.status is Status.COVERED}
    assert set(covered.values()) <= {rule.info.id for rule in RULES}
    assert set(covered) == {"A01", "A02", "A03", "A10", "T06"}
    assert not set(covered) & set(ids(load().select([])))


def test_what_is_off_runs_if_it_is_named(folder):
    rules = load(folder)
    assert "my_limit" not in ids(rules.select([]))
    assert "A11" not in ids(rules.select([]))
    assert ids(rules.select(["office_fee", "my_limit", "A11"])) == ["A11", "my_limit", "office_fee"]
    assert rules.get("my_limit").names["fr"] == "Deux par jour"
    assert rules.version != load().version


@pytest.mark.parametrize("wanted", [["nothing"], ["A01"], ["L03", "A11"]])
def test_what_cannot_be_run_is_refused(wanted):
    with pytest.raises(InvalidInput) as caught:
        load().select(wanted)
    assert caught.value.params["field"] == "rule_ids"
    assert caught.value.params["unknown"] == 1


def test_rules_that_an_old_run_named_and_that_are_gone_are_left_out():
    rules = load()
    assert ids(rules.select_known(["office_fee", "long_gone"])) == ["office_fee"]
    assert rules.select_known(["long_gone"]) == ()
    assert rules.select_known([]) == rules.select([])


def test_a_rule_is_found_by_its_id():
    assert load().get("A01").status is Status.COVERED
    with pytest.raises(NotFound) as caught:
        load().get("nothing")
    assert caught.value.reason is Reason.RULE_NOT_FOUND


def test_a_pack_that_cannot_be_used_says_where(tmp_path):
    (tmp_path / "bad.toml").write_text(HOUSE.replace('"max_count"', '"max_cuont"'), encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load(tmp_path)
    assert f"{tmp_path / 'bad.toml'}:22: " in str(caught.value)
    assert str(caught.value).startswith("FACNET_RULE_PACKS_DIR: ")


def test_a_pack_cannot_take_the_name_of_a_core_rule(tmp_path):
    (tmp_path / "bad.toml").write_text(HOUSE.replace("my_limit", "office_fee"), encoding="utf-8")
    with pytest.raises(SettingsError, match="two rules have the id 'office_fee'"):
        load(tmp_path)


def test_a_folder_that_is_not_there_is_a_problem_of_the_settings(tmp_path):
    with pytest.raises(SettingsError, match="is no folder"):
        load(tmp_path / "none")


def install(folder, monkeypatch, rule_id):
    """Make a package with an entry point, as another distribution has it."""
    metadata = folder / f"{rule_id}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {rule_id}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[facnet.rules]\ntheirs = {rule_id}_rules:rules\n")
    (folder / f"{rule_id}_rules.py").write_text(THEIR_RULES.format(rule_id=rule_id))
    monkeypatch.syspath_prepend(folder)
    packs = folder / "packs"
    packs.mkdir()
    return packs


def test_rules_of_installed_packages_are_found_and_count_in_the_version(monkeypatch, tmp_path):
    rules = load(install(tmp_path, monkeypatch, "theirs"))
    assert "theirs" in ids(rules.select([]))
    assert rules.version != registry.rule_set_version()


def test_an_installed_rule_may_not_take_the_place_of_another(monkeypatch, tmp_path):
    with pytest.raises(SettingsError, match="two rules have the id 'A11'"):
        load(install(tmp_path, monkeypatch, "A11"))


def test_two_rules_of_one_id_are_a_mistake():
    listed = RegistryEntry(RULES[0].info, RULES[0])
    with pytest.raises(ValueError, match="two rules"):
        Registry([listed, listed], "1")
