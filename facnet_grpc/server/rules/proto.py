"""Rules: registry → proto, with texts in both languages."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from google.protobuf.struct_pb2 import ListValue, Value

from facnet_grpc.gen.facnet.v1 import rule_service_pb2 as pb
from facnet_grpc.rules.api import Parameter
from facnet_grpc.rules.registry import RegistryEntry
from facnet_grpc.server.proto import CERTAINTY, SEVERITY
from facnet_grpc.texts.language import Locale
from facnet_grpc.texts.render import rule_description, rule_name, scenario_title, sentence


def rule(entry: RegistryEntry) -> pb.Rule:
    """Return a rule."""
    info = entry.info
    return pb.Rule(
        rule_id=info.id,
        version=info.version,
        category=info.category,
        name=_both(lambda locale: _name(entry, locale)),
        description=_both(lambda locale: rule_description(info.id, locale) or _name(entry, locale)),
        certainty=CERTAINTY[info.certainty],
        severities=[SEVERITY[severity] for severity in info.severities],
        scenarios=[
            pb.RuleScenario(scenario=scenario, title=_both(partial(scenario_title, info.id, scenario)))
            for scenario in info.scenarios
        ],
        needs=info.needs,
        parameters=[_parameter(parameter) for parameter in info.parameters],
        source=info.source,
        enabled=entry.enabled,
        disabled_reason=None if entry.enabled else _both(lambda locale: _disabled_reason(entry, locale)),
    )


def _name(entry: RegistryEntry, locale: Locale) -> str:
    return entry.names.get(locale.value) or rule_name(entry.info.id, locale)


def _disabled_reason(entry: RegistryEntry, locale: Locale) -> str:
    key = f"rule.{entry.status}"
    return sentence(f"{key}.{entry.info.id}", locale) or sentence(key, locale, rule=entry.note)


def _parameter(parameter: Parameter) -> pb.RuleParameter:
    value = (
        Value(number_value=parameter.value)
        if isinstance(parameter.value, int)
        else Value(list_value=ListValue(values=[Value(string_value=item) for item in parameter.value]))
    )
    return pb.RuleParameter(
        name=parameter.name,
        value=value,
        unit=parameter.unit,
        valid_from=parameter.valid_from.isoformat() if parameter.valid_from else "",
        valid_to=parameter.valid_to.isoformat() if parameter.valid_to else "",
        source=parameter.source,
    )


def _both(text: Callable[[Locale], str]) -> pb.LocalizedText:
    return pb.LocalizedText(fr=text(Locale.FR), en=text(Locale.EN))
