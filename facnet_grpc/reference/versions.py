"""Comparison of snapshots: a content hash, and the changes between two of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import date
from typing import Any

from facnet_grpc.model.reference import ReferenceChanges
from facnet_grpc.reference.snapshot import TARIFF_DATE, ReferenceSnapshot

HASH_DIGITS = 12  # hexadecimal digits of the hash in the name of a version

SHIPPED_SOURCE = f"RAMQ, manuel des omnipraticiens (rémunération à l'acte), tarifs du {TARIFF_DATE}; RAMQ, contextes"


def content_hash(snapshot: ReferenceSnapshot) -> str:
    """Return a hash of the content of a snapshot, without its name. The order of codes does not matter.

    The order of a code's entries does: of several for the same place and day, the first counts.
    """
    digest = hashlib.sha256()
    for part in _parts(snapshot):
        for key in sorted(part):
            digest.update(json.dumps([key, _plain(part[key])], ensure_ascii=False).encode() + b"\n")
        digest.update(b"\n")
    return digest.hexdigest()


def imported_name(content: str, day: date) -> str:
    """Return the name of a version that was imported on `day` and has the hash `content`."""
    return f"imported-{day.isoformat()}-{content[:HASH_DIGITS]}"


def changes(before: ReferenceSnapshot, after: ReferenceSnapshot) -> ReferenceChanges:
    """Return how many codes, establishments and contexts were added, removed or changed."""
    parts = zip(_parts(before), _parts(after), strict=True)
    return sum((_compare(old, new) for old, new in parts), ReferenceChanges())


def _parts(snapshot: ReferenceSnapshot) -> tuple[Mapping[str, Any], ...]:
    return snapshot.codes, snapshot.establishments, snapshot.contexts


def _compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> ReferenceChanges:
    return ReferenceChanges(
        added=len(after.keys() - before.keys()),
        removed=len(before.keys() - after.keys()),
        changed=sum(before[key] != after[key] for key in before.keys() & after.keys()),
    )


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, date):
        return value.isoformat()
    names = getattr(type(value), "__slots__", None)
    return [_plain(getattr(value, name)) for name in names] if names else value
