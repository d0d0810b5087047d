"""Everything a person reads, in French and English.

The sentences live in `locale/<language>/*.po`, under keys instead of source sentences:

    errors.po   `REASON.message`, `REASON.cure`, `reject.<reason>`, `column.<canonical name>`
    rules.po    `<rule>.name`, `<rule>.description`, and of each `<rule>.<scenario>`: `.title`, `.message`, `.solution`;
                `<scenario>.…` stands in where a rule has no text of its own

`{name}` is a parameter. A part in square brackets is left out if one of its parameters is not there. A plural entry
names the parameter that counts in its `msgid_plural`: `msgid_plural "{count}"`.
"""

from facnet_grpc.texts.errors import ErrorText, column_name, error_text, reject_text
from facnet_grpc.texts.language import Locale, pick
from facnet_grpc.texts.results import ResultText, result_text, rule_name, scenario_title
from facnet_grpc.texts.values import day, money, number, size

__all__ = [
    "ErrorText",
    "Locale",
    "ResultText",
    "column_name",
    "day",
    "error_text",
    "money",
    "number",
    "pick",
    "reject_text",
    "result_text",
    "rule_name",
    "scenario_title",
    "size",
]
