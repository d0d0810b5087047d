"""Which rules the server has: values, and the calls that read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import grpc

from facnet_client import convert
from facnet_client.calls import Calls
from facnet_client.values import Certainty, Severity
from facnet_grpc.gen.facnet.v1 import result_pb2
from facnet_grpc.gen.facnet.v1 import rule_service_pb2 as pb2
from facnet_grpc.gen.facnet.v1.rule_service_pb2_grpc import RuleServiceStub

LARGEST_PAGE = 1000


@dataclass(frozen=True, slots=True)
class RuleParameter:
    """A threshold, a tariff or a set of codes, and the days on which it holds (YYYY-MM-DD, or empty)."""

    name: str
    value: int | tuple[str, ...]
    unit: str
    valid_from: str
    valid_to: str
    source: str


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule; texts by language (`fr`, `en`)."""

    rule_id: str
    version: str
    category: str
    name: Mapping[str, str]
    description: Mapping[str, str]
    certainty: Certainty
    severities: tuple[Severity, ...]
    scenarios: Mapping[str, Mapping[str, str]]  # titles
    needs: tuple[str, ...]
    parameters: tuple[RuleParameter, ...]
    source: str
    enabled: bool
    disabled_reason: Mapping[str, str]  # empty if it is on


class Rules:
    """`client.rules`. Every method raises `FacnetError`."""

    def __init__(self, channel: grpc.Channel, calls: Calls) -> None:
        """Read over a channel."""
        self._stub = RuleServiceStub(channel)
        self._calls = calls

    def list(
        self,
        *,
        categories: Sequence[str] = (),
        include_disabled: bool = False,
        page_size: int = LARGEST_PAGE,
    ) -> Iterator[Rule]:
        """Yield the rules that are on, by id; with `include_disabled`, the others too."""
        request = pb2.ListRulesRequest(page_size=page_size, categories=categories, include_disabled=include_disabled)
        for page in self._calls.pages(self._stub.ListRules, request):
            yield from map(rule, page.rules)

    def get(self, rule_id: str) -> Rule:
        """Return one rule. Raises `NotFound`."""
        return rule(self._calls.unary(self._stub.GetRule, pb2.GetRuleRequest(rule_id=rule_id)).rule)


def rule(message: pb2.Rule) -> Rule:
    """Return the value of a rule."""
    return Rule(
        rule_id=message.rule_id,
        version=message.version,
        category=message.category,
        name=_both(message.name),
        description=_both(message.description),
        certainty=convert.named(Certainty, result_pb2.Certainty, message.certainty, "CERTAINTY_"),
        severities=tuple(
            convert.named(Severity, result_pb2.Severity, number, "SEVERITY_") for number in message.severities
        ),
        scenarios={one.scenario: _both(one.title) for one in message.scenarios},
        needs=tuple(message.needs),
        parameters=tuple(_parameter(one) for one in message.parameters),
        source=message.source,
        enabled=message.enabled,
        disabled_reason=_both(message.disabled_reason) if message.HasField("disabled_reason") else {},
    )


def _both(text: pb2.LocalizedText) -> dict[str, str]:
    return {"fr": text.fr, "en": text.en}


def _parameter(message: pb2.RuleParameter) -> RuleParameter:
    many = message.value.WhichOneof("kind") == "list_value"
    return RuleParameter(
        name=message.name,
        value=tuple(item.string_value for item in message.value.list_value.values)
        if many
        else int(message.value.number_value),
        unit=message.unit,
        valid_from=message.valid_from,
        valid_to=message.valid_to,
        source=message.source,
    )
