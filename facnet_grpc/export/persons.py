"""Persons in columns: each distinct one is turned into what the caller may see once, however many lines name them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc


class Persons(Protocol):
    """What a caller may see of persons."""

    def patient(self, key: str | None) -> str:
        """Return what stands for a patient; nothing for none."""

    def doctor_key(self, key: str | None) -> str:
        """Return what stands for a doctor's number; nothing for none."""

    def doctor_name(self, name: str | None) -> str:
        """Return what stands for a doctor's name; nothing for none."""


def shown(column: pa.Array, show: Callable[[str | None], str]) -> pa.Array:
    """Return a column of text as it may be seen; null where there is nothing to see."""
    encoded = pc.dictionary_encode(column)
    seen: list[Any] = [show(value) or None for value in encoded.dictionary.to_pylist()]
    return pc.take(pa.array(seen, pa.string()), encoded.indices)
