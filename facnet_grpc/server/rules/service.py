"""`facnet.v1.RuleService`: the catalogue of rules, which is in memory."""

from __future__ import annotations

from facnet_grpc.gen.facnet.v1 import rule_service_pb2 as pb
from facnet_grpc.rules.registry import Registry
from facnet_grpc.server import request_fields
from facnet_grpc.server.executors import BlockingExecutor
from facnet_grpc.server.paging import TEXT, Page
from facnet_grpc.server.request_context import Context
from facnet_grpc.server.rules import proto


class RuleService:
    """Rules with their parameters and sources."""

    def __init__(self, rules: Registry, blocking: BlockingExecutor) -> None:
        self._rules = rules
        self._blocking = blocking

    async def ListRules(self, request: pb.ListRulesRequest, _context: Context) -> pb.ListRulesResponse:
        """List the rules in the order of their ids."""
        categories = frozenset(request_fields.texts("categories", request.categories))
        list_key = ("rules", sorted(categories), request.include_disabled, self._rules.version)
        page = Page(request, list_key, TEXT)
        found = [
            entry
            for entry in self._rules.entries
            if entry.info.id > (page.after or "")
            and (entry.enabled or request.include_disabled)
            and (entry.info.category in categories or not categories)
        ]

        def render() -> pb.ListRulesResponse:  # in a thread: a hundred rules take some milliseconds
            rules, token = page.build(found[: page.limit], proto.rule, lambda entry: entry.info.id)
            return pb.ListRulesResponse(rules=rules, next_page_token=token, rule_set_version=self._rules.version)

        return await self._blocking.run(render)

    async def GetRule(self, request: pb.GetRuleRequest, _context: Context) -> pb.GetRuleResponse:
        """Return one rule. Raises `NotFound`."""
        entry = self._rules.get(request_fields.text("rule_id", request.rule_id))
        return pb.GetRuleResponse(rule=await self._blocking.run(proto.rule, entry))
