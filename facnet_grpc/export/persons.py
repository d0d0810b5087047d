"""Persons in columns: each distinct one is turned into what the caller may see once, however many lines name them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


def shown(column: pa.Array, show: Callable[[str | None], str]) -> pa.Array:
    """Return a column of text as it may be seen; null where there is nothing to see."""
    encoded = pc.dictionary_encode(column)
    seen: list[Any] = [show(value) or None for value in encoded.dictionary.to_pylist()]
    return pc.take(pa.array(seen, pa.string()), encoded.indices)
