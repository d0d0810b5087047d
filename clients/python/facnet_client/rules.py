"""The rules of the server: values, and the calls that read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Unpack

from facnet_client.connection import MAX_PAGE_SIZE, CallOptions, Connection
from facnet_client.convert import Value
from facnet_client.values import Certainty, Severity
from facnet_grpc.gen.facnet.v1 import rule_service_pb2 as pb2
from facnet_grpc.gen.facnet.v1.rule_service_pb2_grpc import RuleServiceStub


class RuleParameter(Value):
    """A threshold, a tariff or a set of codes, and the days (YYYY-MM-DD, or empty) between which it is in force."""

    name: str
    value: int | tuple[str, ...]
    unit: str
    valid_from: str
    valid_to: str
    source: str


class Rule(Value):
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
    """`client.rules`. Every method raises `FacnetError` and takes `CallOptions`."""

    def __init__(self, connection: Connection) -> None:
        """Make calls over `connection`."""
        self._stub = RuleServiceStub(connection.channel)
        self._connection = connection

    def list(
        self,
        *,
        categories: Sequence[str] = (),
        include_disabled: bool = False,
        page_size: int = MAX_PAGE_SIZE,
        **options: Unpack[CallOptions],
    ) -> Iterator[Rule]:
        """Yield the rules that are on, by id; with `include_disabled`, the others too.

        Example:
            >>> [(rule.rule_id, rule.name["en"]) for rule in client.rules.list()]
            [('office_fee', 'Office fee')]
        """
        request = pb2.ListRulesRequest(page_size=page_size, categories=categories, include_disabled=include_disabled)
        return self._connection.items(self._stub.ListRules, request, "rules", Rule, **options)

    def get(self, rule_id: str, **options: Unpack[CallOptions]) -> Rule:
        """Return one rule. Raises `NotFound`.

        Example:
            >>> client.rules.get("office_fee").parameters[0].value
            6
        """
        request = pb2.GetRuleRequest(rule_id=rule_id)
        return Rule.from_message(self._connection.unary(self._stub.GetRule, request, **options).rule)
