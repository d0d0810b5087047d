"""RuleService on the real port: every rule, on or off, in both languages."""

from __future__ import annotations

import grpc
import pytest
from serving import refused

from facnet_grpc.gen.facnet.v1 import rule_service_pb2 as pb
from facnet_grpc.gen.facnet.v1.result_pb2 import CERTAINTY_LIKELY
from facnet_grpc.gen.facnet.v1.rule_service_pb2_grpc import RuleServiceStub
from facnet_grpc.rules import registry
from tests.rules.pack_text import HOUSE, SWITCH_OFF_A11, write


@pytest.fixture
def stub(server):
    return RuleServiceStub(server.channel)


def listed(stub, **request):
    return stub.ListRules(pb.ListRulesRequest(page_size=1000, **request), timeout=10).rules


def test_rules_are_listed_by_id_with_texts_in_both_languages(stub):
    rules = listed(stub)
    ids = [rule.rule_id for rule in rules]
    assert ids == sorted(ids) == [rule.info.id for rule in registry.select([])]
    for rule in rules:
        assert rule.enabled
        assert rule.source
        assert not rule.HasField("disabled_reason")
        texts = [rule.name, rule.description, *(scenario.title for scenario in rule.scenarios)]
        assert all(text.fr and text.en for text in texts), rule.rule_id
        assert all("." not in scenario.title.fr.strip(".") for scenario in rule.scenarios), rule.rule_id


def test_the_ones_that_are_off_say_why(stub):
    every = {rule.rule_id: rule for rule in listed(stub, include_disabled=True)}
    assert len(every) == 112 + 5
    off = {rule_id: rule for rule_id, rule in every.items() if not rule.enabled}
    assert {"A01", "A02", "A03", "A10", "T06", "L03", "O02"} <= off.keys()
    assert "annual_visit" in off["A01"].disabled_reason.fr
    for rule in off.values():
        assert rule.name.fr
        assert rule.disabled_reason.fr.endswith(".")
        assert rule.disabled_reason.en.endswith(".")


def test_pages_and_categories(stub):
    seen, token = [], ""
    while True:
        page = stub.ListRules(pb.ListRulesRequest(page_size=7, page_token=token), timeout=10)
        seen += [rule.rule_id for rule in page.rules]
        assert page.rule_set_version == registry.load().version
        if not (token := page.next_page_token):
            break
    assert seen == [rule.rule_id for rule in listed(stub)]
    some = listed(stub, categories=["annual_visits"])
    assert {rule.category for rule in some} == {"annual_visits"}


def test_a_token_is_good_for_the_list_that_it_came_from(stub):
    token = stub.ListRules(pb.ListRulesRequest(page_size=7), timeout=10).next_page_token
    refusal = refused(lambda: stub.ListRules(pb.ListRulesRequest(page_token=token, include_disabled=True), timeout=10))
    assert refusal.reason == "BAD_PAGE_TOKEN"


def test_one_rule_with_its_parameters(stub):
    rule = stub.GetRule(pb.GetRuleRequest(rule_id="office_fee"), timeout=10).rule
    assert rule.certainty == CERTAINTY_LIKELY
    assert "code" not in rule.name.fr
    parameters = {parameter.name: parameter for parameter in rule.parameters}
    amounts = [one.value.number_value for one in parameters.values() if one.unit == "cents"]
    assert {3240, 6480} <= set(amounts)
    assert any(one.value.WhichOneof("kind") == "list_value" for one in parameters.values())
    assert all(parameter.source for parameter in rule.parameters)


def test_an_unknown_rule_is_not_found(stub):
    refusal = refused(lambda: stub.GetRule(pb.GetRuleRequest(rule_id="nothing"), timeout=10))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "RULE_NOT_FOUND")
    refusal = refused(lambda: stub.GetRule(pb.GetRuleRequest(), timeout=10))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT


def test_packs_of_ones_own_are_rules_like_others(make_server, tmp_path):
    write(tmp_path, HOUSE + SWITCH_OFF_A11)
    stub = RuleServiceStub(make_server(rule_packs_dir=tmp_path).channel)
    mine = stub.GetRule(pb.GetRuleRequest(rule_id="my_limit"), timeout=10).rule
    assert (mine.name.fr, mine.name.en, mine.enabled) == ("Deux par jour", "Two a day", True)
    page = stub.ListRules(pb.ListRulesRequest(), timeout=10)
    assert page.rule_set_version != registry.load().version
    assert "A11" not in {rule.rule_id for rule in page.rules}
