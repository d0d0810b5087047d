"""Loads named queries from the .sql file beside each module: named blocks, each with a sentence.

    -- name: claim
    -- Gives a waiting run to a worker.
    UPDATE … RETURNING {run_columns}

    -- fragment: run_columns
    id, owner, …

A `{fragment}` of the same file, or of `shared.sql`, replaces its name; values are psycopg parameters, `%(name)s`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

_BLOCK = re.compile(r"^-- (name|fragment): (\w+)\n((?:-- .*\n)*)", re.MULTILINE)
_FRAGMENT = re.compile(r"\{(\w+)\}")
_NAMES: dict[str, str] = {}


@cache
def load(subject: str) -> Mapping[str, str]:
    """Return the queries of `<subject>.sql` by name."""
    found = _blocks(subject)
    fragments = _blocks("shared")["fragment"] | found["fragment"]
    whole = {name: _FRAGMENT.sub(lambda match: fragments[match[1]], body) for name, body in found["name"].items()}
    _NAMES.update({query: f"{subject}.{name}" for name, query in whole.items()})
    return MappingProxyType(whole)


def _blocks(subject: str) -> dict[str, dict[str, str]]:
    """Return the blocks of a file by kind (`name` or `fragment`) and name."""
    text = (files(__package__) / f"{subject}.sql").read_text(encoding="utf-8")
    _, *pieces = _BLOCK.split(text)
    found: dict[str, dict[str, str]] = {"name": {}, "fragment": {}}
    for kind, name, _sentence, body in zip(pieces[0::4], pieces[1::4], pieces[2::4], pieces[3::4], strict=True):
        found[kind][name] = body.strip().rstrip(";")
    return found


def name_of(query: str) -> str | None:
    """Return `subject.name` of a loaded query, None for any other text."""
    return _NAMES.get(query)
