"""Checks as data: packs of TOML, compiled into rules over whole columns.

See `docs/howto/write-a-check.md`.
"""

from facnet_grpc.rules.checks.model import Check, PackError, Problem, Status
from facnet_grpc.rules.checks.packs import (
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
