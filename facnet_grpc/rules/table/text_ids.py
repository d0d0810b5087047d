"""Numbers for equal values, from 0 in order of first appearance, without a hash table of all of them.

That would take several times what the values do. Values are shared out instead, equal ones always together, and
numbered share by share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa

from facnet_grpc.rules.table.arrays import Ints, Mask, slices

_AT_ONCE = 1 << 16  # values whose hash table is small enough
_MOST_SHARES = 16  # each is looked for in all of them
_MIXER = np.int64(-7046029254386353131)  # odd, of no pattern: what is left of a product depends on all bits of a key
_WEIGHTS = (1, 11, 101, 1009)


def number_texts(texts: pa.Array) -> tuple[Ints, pa.Array]:
    """Number texts; return the numbers (32 bits), and each text once. There may be no nulls."""
    numbers, leads = _numbered(texts, lambda: _mixtures(texts))
    return numbers, texts.filter(pa.array(leads))


def number(keys: Ints) -> tuple[Ints, int]:
    """Number keys; return the numbers (32 bits), and how many different ones there are."""
    numbers, leads = _numbered(pa.array(keys), lambda: keys)
    return numbers, int(leads.sum())


def _numbered(values: pa.Array, mixture: Callable[[], Ints]) -> tuple[Ints, Mask]:
    """Return the numbers of values, and which of them are the first of their kind."""
    every = np.arange(len(values), dtype=np.int32)
    leader = np.empty(len(values), np.int32)  # the first value that is the same
    for rows in _shares(len(values), mixture):
        encoded = (values if rows is None else values.take(pa.array(rows))).dictionary_encode()
        numbers = np.asarray(encoded.indices)
        positions = every if rows is None else rows
        first = np.empty(len(encoded.dictionary), np.int32)
        first[numbers[::-1]] = positions[::-1]  # the earliest is written last, and stays
        leader[positions] = first[numbers]
    leads = leader == every
    ranks: Ints = np.cumsum(leads, dtype=np.int32)[leader]
    ranks -= 1
    return ranks, leads


def _shares(count: int, mixture: Callable[[], Ints]) -> Iterator[Ints | None]:
    """Yield rows of values, equal ones together; None for all."""
    shares = min(-(-count // _AT_ONCE), _MOST_SHARES)
    if shares <= 1:
        yield None
        return
    share, keys = np.empty(count, np.int8), mixture()
    for part in slices(count):
        share[part] = (keys[part] * _MIXER >> np.int64(32)) % shares
    del keys
    for one in range(shares):
        yield np.flatnonzero(share == one).astype(np.int32)


def _mixtures(texts: pa.Array) -> Ints:
    """Return a number for each text, the same for the same text: from its last characters, which vary most in a NAM."""
    _, offsets, data = texts.buffers()
    bounds = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    characters = np.frombuffer(data, np.uint8)
    starts, ends = bounds[:-1], bounds[1:]
    mixed = np.zeros(len(texts), np.int32)
    for back, weight in enumerate(_WEIGHTS, 1):
        # Of a text that is too short the first character once more.
        mixed += characters[np.clip(ends - back, starts, len(characters) - 1)] * np.int32(weight)
    return np.where(ends > starts, mixed, np.int32(0))
