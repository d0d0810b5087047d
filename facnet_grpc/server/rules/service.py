"""`facnet.v1.RuleService`: which rules there are. All of it is in memory."""

from __future__ import annotations

from typing import Any

from facnet_grpc.gen.facnet.v1 import rule_service_pb2 as pb
from facnet_grpc.gen.facnet.v1 import rule_service_pb2_grpc as pb_grpc
from facnet_grpc.rules.registry import Registry
from facnet_grpc.server import request_fields
from facnet_grpc.server.executors import BlockingExecutor
from facnet_grpc.server.paging import cut, page_position, page_token
from facnet_grpc.server.rules import proto

RULES_PER_PAGE = 100

Context = Any  # grpc.aio.ServicerContext; the stubs' own type is one of both worlds


class RuleService(pb_grpc.RuleServiceServicer):
    """Tells which rules there are, and what they rest on."""

    def __init__(self, rules: Registry, blocking: BlockingExecutor) -> None:
        self._rules = rules
        self._blocking = blocking

    async def ListRules(self, request: pb.ListRulesRequest, _context: Context) -> pb.ListRulesResponse:  # noqa: N802 - named by the API
        """List the rules, by id."""
        categories = frozenset(request_fields.texts("categories", request.categories))
        size = request_fields.page_size(request.page_size, RULES_PER_PAGE)
        asked = ("rules", sorted(categories), request.include_disabled, self._rules.version)
        after = (page_position(request.page_token, asked) or b"").decode("utf-8", "replace")
        found = [
            listed
            for listed in self._rules.listed
            if listed.info.id > after
            and (listed.enabled or request.include_disabled)
            and (listed.info.category in categories or not categories)
        ]

        def write() -> pb.ListRulesResponse:  # a hundred rules take a while
            page, token = cut(
                found[: size + 1],
                size,
                proto.rule,
                lambda listed: page_token(asked, listed.info.id.encode()),
            )
            return pb.ListRulesResponse(rules=page, next_page_token=token, rule_set_version=self._rules.version)

        return await self._blocking.run(write)

    async def GetRule(self, request: pb.GetRuleRequest, _context: Context) -> pb.GetRuleResponse:  # noqa: N802 - named by the API
        """Read one rule."""
        listed = self._rules.get(request_fields.text("rule_id", request.rule_id))
        return pb.GetRuleResponse(rule=await self._blocking.run(proto.rule, listed))
