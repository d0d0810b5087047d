"""Checks as data: packs of TOML, compiled into rules over whole columns.

See `docs/howto/write-a-check.md`.
"""

from facnet_grpc.rules.declarative.catalogue import (
    PackReport,
    discover,
    entries,
    for_run,
    load_checks,
    load_packs,
    test_pack,
    texts,
    validate_pack,
)
from facnet_grpc.rules.declarative.model import Check, PackError, Problem, Status

__all__ = [
    "Check",
    "PackError",
    "PackReport",
    "Problem",
    "Status",
    "discover",
    "entries",
    "for_run",
    "load_checks",
    "load_packs",
    "test_pack",
    "texts",
    "validate_pack",
]
