"""What was found out about a local file, for people: in French or English, or as one JSON line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict

from facnet_grpc.ingest.inspect import Inspection
from facnet_grpc.ingest.reader import Found
from facnet_grpc.texts import Locale, column_name, error_text, number, size

_NAMES: Mapping[Locale, Mapping[str, str]] = {
    Locale.FR: {
        "size": "Taille",
        "encoding": "Encodage",
        "compression": "Compression",
        "delimiter": "Séparateur",
        "decimal_mark": "Décimales",
        "date_format": "Dates",
        "header_line": "Ligne d'en-tête",
        "columns": "Colonnes",
        "missing_wanted": "Colonnes absentes",
        "ignored_columns": "Colonnes ignorées",
        "first_lines": "Premières lignes, masquées",
        "tab": "tabulation",
        "mark": "{name} : ",
    },
    Locale.EN: {
        "size": "Size",
        "encoding": "Encoding",
        "compression": "Compression",
        "delimiter": "Delimiter",
        "decimal_mark": "Decimals",
        "date_format": "Dates",
        "header_line": "Header line",
        "columns": "Columns",
        "missing_wanted": "Missing columns",
        "ignored_columns": "Ignored columns",
        "first_lines": "First lines, masked",
        "tab": "tab",
        "mark": "{name}: ",
    },
}


def as_json(seen: Inspection, locale: Locale) -> str:
    """Return an inspection as one JSON object."""
    error = seen.error and error_text(seen.error, locale)
    return json.dumps(
        {
            "size_bytes": seen.size_bytes,
            "encoding": seen.encoding,
            **(asdict(seen.found) if seen.found else {}),
            "first_lines": seen.first_lines,
            "error": error and seen.error and {"code": seen.error.reason.value, **asdict(error)},
        },
        ensure_ascii=False,
    )


def as_text(seen: Inspection, locale: Locale) -> Iterator[str]:
    """Return an inspection line by line."""
    names = _NAMES[locale]
    facts = {"size": size(seen.size_bytes, locale)}
    if seen.encoding:
        facts["encoding"] = seen.encoding
    if seen.found:
        facts |= _facts(seen.found, locale)
    for name, value in facts.items():
        yield names["mark"].format(name=names[name]) + value
    if seen.first_lines:
        yield names["mark"].format(name=names["first_lines"]).rstrip()
        yield from (f"    {line}" for line in seen.first_lines)
    if seen.error:
        text = error_text(seen.error, locale)
        yield f"✗ {text.message} {text.cure}"


def _facts(found: Found, locale: Locale) -> dict[str, str]:
    facts = {
        "compression": found.compression or "",
        "delimiter": _NAMES[locale]["tab"] if found.delimiter == "\t" else found.delimiter,
        "decimal_mark": found.decimal_mark,
        "date_format": found.date_format,
        "header_line": number(found.header_line, locale),
        "columns": ", ".join(f"{column_name(column, locale)} ({header})" for column, header in found.columns.items()),
        "missing_wanted": ", ".join(column_name(column, locale) for column in found.missing_wanted),
        "ignored_columns": number(found.ignored_columns, locale) if found.ignored_columns else "",
    }
    return {name: value for name, value in facts.items() if value}
