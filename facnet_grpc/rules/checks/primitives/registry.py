"""All primitives by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from facnet_grpc.rules.checks.primitives import (
    ages,
    caps,
    clock,
    companions,
    counting,
    durations,
    exclusion,
    fields_of_lines,
    formats,
    intervals,
    sequence,
    tariffs,
)
from facnet_grpc.rules.checks.primitives.base import Primitive

_MODULES = (
    ages,
    caps,
    clock,
    companions,
    counting,
    durations,
    exclusion,
    fields_of_lines,
    formats,
    intervals,
    sequence,
    tariffs,
)

PRIMITIVES: Mapping[str, Primitive] = MappingProxyType(
    {primitive.name: primitive for module in _MODULES for primitive in module.PRIMITIVES},
)
