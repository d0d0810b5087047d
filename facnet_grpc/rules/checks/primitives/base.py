"""What a primitive gets, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa

from facnet_grpc.reference.snapshot import ReferenceSnapshot
from facnet_grpc.rules.checks.claim_table import ClaimTable
from facnet_grpc.rules.findings import Fact
from facnet_grpc.rules.table.claims import Ints, Mask
from facnet_grpc.rules.table.groups import Groups

Params = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Work:
    """A test of a check on its way over a file. `rows` are the billed lines that it is about, ascending."""

    sheet: ClaimTable
    rows: Ints
    group: tuple[str, ...]
    params: Params
    reference: ReferenceSnapshot
    today: date | None
    narrow: Callable[[Ints], Ints]  # keeps the rows that the test is about: its days, places, contexts, roles


@dataclass(frozen=True, slots=True)
class Hits:
    """What a test found: one hit a group of lines.

    `risk` are the lines that carry the money (their preliminary amounts unless `risk_cents` says otherwise), `milder`
    the hits that are one severity lower, `seen` how many groups or lines were looked at.
    """

    affected: Groups  # the main line first
    seen: int
    risk: Groups | None = None
    risk_cents: Ints | None = None
    gain_cents: Ints | None = None
    facts: Mapping[str, Fact] = field(default_factory=dict)
    milder: Mask | None = None
    lacking: tuple[str, ...] = ()  # parts of the reference, or the day, without which nothing could be looked at

    @classmethod
    def none(cls, seen: int = 0) -> Hits:
        """Return no hits."""
        return cls(Groups.empty(0), seen)

    @classmethod
    def lacks(cls, *what: str) -> Hits:
        """Return that there is nothing to go by."""
        return cls(Groups.empty(0), 0, lacking=what)

    @classmethod
    def lines(cls, rows: Ints, seen: int, **more: Any) -> Hits:
        """Return a hit for every row, at risk as a whole."""
        each = Groups.single(rows)
        return cls(each, seen, **{"risk": each, **more})

    def __len__(self) -> int:
        return len(self.affected)


@dataclass(frozen=True, slots=True)
class Field:
    """A parameter of a primitive: how it is written (a name in `fields.KINDS`), and whether it may be left out."""

    kind: str
    required: bool = False
    default: Any = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Primitive:
    """A kind of question: its parameters, what it needs of the file, and the function that answers it."""

    name: str
    run: Callable[[Work], Hits]
    doc: str
    fields: Mapping[str, Field] = field(default_factory=dict)
    needs: Callable[[Params], Sequence[str]] = lambda _: ()
    # Columns that may be empty, but whose absence from the file's header leaves the question without a basis.
    reads: Callable[[Params], Sequence[str]] = lambda _: ()
    facts: tuple[str, ...] = ()  # what texts may name, besides what every result has
    groups: tuple[str, ...] | None = ("line",)  # how it groups if the test does not say; None: the test has to say
    either: tuple[tuple[str, ...], ...] = ()  # parameters of which at least one is needed
    sessions: bool = False  # whether a group may end in `session`
    reads_all: bool = False  # whether it makes its own choice of lines


def join(parts: Sequence[Hits]) -> Hits:
    """Return the hits of several runs of one primitive; all must have the same facts."""
    found = [part for part in parts if len(part)]
    seen = sum(part.seen for part in parts)
    lacking = tuple(dict.fromkeys(name for part in parts for name in part.lacking))
    if not found:
        return Hits(Groups.empty(0), seen, lacking=lacking)
    return Hits(
        affected=_stack([part.affected for part in found]),
        seen=seen,
        risk=_stack([part.risk or Groups.empty(len(part)) for part in found]),
        risk_cents=None,
        facts={
            name: _chain([part.facts[name] for part in found], [len(part) for part in found]) for name in found[0].facts
        },
        milder=np.concatenate([_mask(part) for part in found]),
        lacking=lacking,
    )


def _mask(part: Hits) -> Mask:
    return np.zeros(len(part), np.bool_) if part.milder is None else part.milder


def _stack(groups: Sequence[Groups]) -> Groups:
    sizes = np.concatenate([one.sizes for one in groups])
    return Groups(np.concatenate([one.rows for one in groups]), np.concatenate([[0], np.cumsum(sizes)]))


def _chain(facts: Sequence[Fact], sizes: Sequence[int]) -> pa.Array:
    return pa.concat_arrays([_array(fact, size) for fact, size in zip(facts, sizes, strict=True)])


def _array(fact: Fact, size: int) -> pa.Array:
    if isinstance(fact, int | str):
        return pa.array([fact] * size)
    return fact if isinstance(fact, pa.Array) else pa.array(fact)
