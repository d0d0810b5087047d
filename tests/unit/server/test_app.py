"""A gRPC service is put together from the services of the features."""

from __future__ import annotations

import pytest

from facnet_grpc.server.app import OWN_SERVICES, compose

(RULES,) = (service for service in OWN_SERVICES if service.name == "RuleService")


class Lists:
    def ListRules(self) -> str:  # noqa: N802 - named by the API
        return "list"


class Gets:
    def GetRule(self) -> str:  # noqa: N802 - named by the API
        return "get"


def test_each_method_comes_from_the_feature_that_has_it() -> None:
    service = compose(RULES, (Lists(), Gets()))
    assert (service.ListRules(), service.GetRule()) == ("list", "get")


@pytest.mark.parametrize("features", [(Lists(),), (Lists(), Gets(), Gets())], ids=["missing", "twice"])
def test_a_method_that_no_feature_or_more_than_one_has_is_an_error(features: tuple[object, ...]) -> None:
    with pytest.raises(TypeError, match="RuleService/GetRule"):
        compose(RULES, features)
