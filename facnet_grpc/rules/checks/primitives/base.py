"""What all primitives share: how a test is written in a pack, the lines that it selects, and what it returns.

A primitive is a pydantic model: its fields are the keys of a `[[check.test]]` table, and an instance is one test of a
check. Codes are validated in the context of the code sets that are known: `{"MINE": frozenset({"00689"})}`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Annotated, Any, ClassVar, Generic, Literal, Self, TypeAlias, TypeVar, get_args

import numpy as np
import pyarrow as pa
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    StrictBool,
    StrictStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from facnet_grpc.calendar import day_number
from facnet_grpc.model.result import Certainty, Severity
from facnet_grpc.reference.snapshot import ReferenceSnapshot
from facnet_grpc.rules.checks.claim_table import ClaimTable
from facnet_grpc.rules.checks.grouping import PARTS, SESSION
from facnet_grpc.rules.findings import Fact
from facnet_grpc.rules.table.arrays import Ints, Mask
from facnet_grpc.rules.table.claims import CLAIM_COLUMNS
from facnet_grpc.rules.table.groups import Groups

_RANGE = re.compile(r"(\d{5})\.\.(\d{5})")
_CODE = re.compile(r"\d{5}")


def _codes(value: Any, info: ValidationInfo) -> frozenset[str]:
    if not isinstance(value, list) or not value:
        raise ValueError(f"must be a list of codes, not {value!r}")
    return frozenset().union(*(_expand(item, info.context or {}) for item in value))


def _expand(item: Any, sets: Mapping[str, frozenset[str]]) -> frozenset[str]:
    if not isinstance(item, str):
        raise ValueError(f"a code is a text of five digits, not {item!r}")  # noqa: TRY004 - pydantic expects it
    if item.startswith("@"):
        if item[1:] not in sets:
            raise ValueError(f"there is no code set {item}")
        return sets[item[1:]]
    if match := _RANGE.fullmatch(item):
        return frozenset(f"{code:05}" for code in range(int(match[1]), int(match[2]) + 1))
    if not _CODE.fullmatch(item):
        raise ValueError(f"{item!r} is no code: five digits, a range such as 15765..15767, or @SET")
    return frozenset([item])


def matching(pattern: str, problem: str) -> AfterValidator:
    """Return a validator of texts that match a whole regular expression; `problem` follows the text in the error."""

    def validate(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"{text!r} {problem}")
        return text

    return AfterValidator(validate)


def _group(value: str) -> tuple[str, ...]:
    parts = tuple(value.split("+")) if isinstance(value, str) else (value,)
    for part in parts:
        if part not in PARTS and part != SESSION:
            raise ValueError(f"a group is made of {', '.join(PARTS)} and session, not {part!r}")
    return parts


def _number_as_text(value: Any) -> Any:
    return str(value) if type(value) is int else value


Codes = Annotated[frozenset[str], PlainValidator(_codes)]
Code = Annotated[StrictStr, matching(r"\d{5}", "is no code: five digits")]
Whole = Annotated[int, Field(strict=True, ge=0)]
Text = Annotated[StrictStr, matching(r"(?s).*\S.*", "is an empty text")]
Texts = Annotated[tuple[Annotated[Text, BeforeValidator(_number_as_text)], ...], Field(min_length=1)]
Day = Annotated[date, Field(strict=True)]
Group = Annotated[tuple[str, ...], PlainValidator(_group)]
WholeByCode = Annotated[dict[Code, Whole], Field(min_length=1)]


Evaluate: TypeAlias = "Callable[[Any], Matches]"


class Entry(BaseModel):
    """A table of a pack: every key is known, and values have the type that the key asks for."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class CheckTest(Entry):
    """What every `[[check.test]]` may say: which lines, in which groups, and how severe a match is.

    Each primitive is a subclass: its docstring is its line in the guide, its own fields are its parameters.
    """

    facts: ClassVar[tuple[str, ...]] = ()  # what texts may name, besides what every result has
    sessions: ClassVar[bool] = False  # whether a group may end in `session`
    selects_itself: ClassVar[bool] = False  # whether it takes codes from parameters of its own, and not from `codes`
    alternatives: ClassVar[tuple[tuple[str, ...], ...]] = ()  # parameters of which at least one is needed
    required: ClassVar[tuple[str, ...]] = ()  # columns without a value in which there is nothing to compare
    optional: ClassVar[tuple[str, ...]] = ()  # columns that may be empty, but have to be in the file's header

    evaluate: ClassVar[Evaluate]  # finds the matches of an `Evaluation` of this primitive

    scenario: Annotated[StrictStr, matching(r"[a-z][a-z0-9_]{0,47}", "is no scenario: small letters, digits and _")]
    primitive: str
    severity: Severity
    certainty: Certainty | None = None  # that of the check
    group: Group = ("line",)
    codes: Codes = frozenset()
    except_codes: Codes = frozenset()
    at: Literal["cabinet", "establishment"] | None = None  # an unknown place is neither
    places: Texts = ()
    roles: Texts = ()
    context: Texts = ()
    except_context: Texts = ()
    at_risk: StrictBool = True
    first_day: Day | None = Field(None, alias="from")
    last_day: Day | None = Field(None, alias="to")

    @classmethod
    def name(cls) -> str:
        """Return the primitive's name in packs."""
        return str(get_args(cls.model_fields["primitive"].annotation)[0])

    @classmethod
    def parameters(cls) -> Mapping[str, str]:
        """Return the primitive's own parameters: their names in packs, and in the model."""
        own = cls.model_fields.keys() - CheckTest.model_fields.keys()
        return {cls.model_fields[key].alias or key: key for key in cls.model_fields if key in own}

    @field_validator("codes")
    @classmethod
    def _no_codes(cls, codes: frozenset[str]) -> frozenset[str]:
        if cls.selects_itself:
            raise ValueError(f"{cls.name()} takes its codes from its own parameters, not from codes")
        return codes

    @field_validator("group")
    @classmethod
    def _session_last(cls, group: tuple[str, ...]) -> tuple[str, ...]:
        if SESSION in group[:-1] or (SESSION in group and not cls.sessions):
            raise ValueError("only exclusions group by session, and it comes last")
        return group

    @field_validator("last_day")
    @classmethod
    def _in_order(cls, last: date | None, info: ValidationInfo) -> date | None:
        first = info.data.get("first_day")
        if first and last and last < first:
            raise ValueError("a test cannot end before it begins")
        return last

    @model_validator(mode="after")
    def _has_one_of_each(self) -> Self:
        for names in self.alternatives:
            if self.model_fields_set.isdisjoint(names):
                raise ValueError(f"{self.name()} needs {' or '.join(names)}")
        return self

    def required_columns(self) -> Sequence[str]:
        """Return `required`, or what these parameters require."""
        return self.required

    def optional_columns(self) -> Sequence[str]:
        """Return `optional`, or what these parameters read."""
        return self.optional

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns that have to hold something, sorted; those that every line has are left out."""
        columns = {PARTS.get(part) for part in self.group} | set(self.required_columns())
        selectors = {"at": "place", "places": "place", "roles": "role", "context": "context"}
        columns |= {column for key, column in selectors.items() if key in self.model_fields_set}
        return tuple(sorted({column for column in columns if column} - {"doctor_key", "code", "service_date"}))

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns that have to be in the file's header, sorted."""
        context = SESSION in self.group or "except_context" in self.model_fields_set
        return tuple(sorted({*self.optional_columns(), *(["context"] if context else [])}))

    @property
    def columns(self) -> frozenset[str]:
        """All columns that an evaluation may look at."""
        return CLAIM_COLUMNS.union(self.needs, self.reads, {"role"} & set(self.group))

    def select(self, table: ClaimTable) -> Ints:
        """Return the billed rows that the test is about, ascending."""
        if self.selects_itself:
            return np.zeros(0, np.int64)
        return self.narrow(table, table.with_codes(self.codes) if self.codes else table.billed)

    def narrow(self, table: ClaimTable, rows: Ints) -> Ints:
        """Return those of `rows` that have the days, places, roles and contexts of the test."""
        if self.except_codes:
            rows = rows[~table.where("code", self.except_codes.__contains__)[rows]]
        if self.first_day:
            rows = rows[table.claims.day[rows] >= day_number(self.first_day)]
        if self.last_day:
            rows = rows[table.claims.day[rows] <= day_number(self.last_day)]
        if self.at:
            rows = rows[(table.claims.in_cabinet if self.at == "cabinet" else table.claims.in_establishment)[rows]]
        return self._narrow_by_text(table, rows)

    def _narrow_by_text(self, table: ClaimTable, rows: Ints) -> Ints:
        context, except_context = frozenset(self.context), frozenset(self.except_context)
        if self.places:
            rows = rows[table.where("place", frozenset(self.places).__contains__)[rows]]
        if self.roles:
            rows = rows[table.where("role", lambda text: text.lstrip("0") in self.roles)[rows]]
        if context:
            rows = rows[table.where("context", lambda text: not context.isdisjoint(text.split(",")))[rows]]
        if except_context:
            rows = rows[~table.where("context", lambda text: not except_context.isdisjoint(text.split(",")))[rows]]
        return rows


T_co = TypeVar("T_co", bound=CheckTest, covariant=True)


@dataclass(frozen=True, slots=True)
class Evaluation(Generic[T_co]):
    """One test over one file. `rows` are the billed lines that it is about: positions in the table, ascending."""

    test: T_co
    table: ClaimTable
    rows: Ints
    reference: ReferenceSnapshot
    today: date | None

    def narrow(self, rows: Ints) -> Ints:
        """Return those of `rows` that have the days, places, roles and contexts of the test."""
        return self.test.narrow(self.table, rows)


@dataclass(frozen=True, slots=True)
class Matches:
    """What a test found: one match per group of lines.

    `risk` are the lines that carry the money (their preliminary amounts unless `risk_cents` has one for each of
    `risk.rows`), `downgraded` the matches that are one severity lower, `examined` how many groups or lines were
    looked at.
    """

    affected: Groups  # the main line first
    examined: int
    risk: Groups | None = None
    risk_cents: Ints | None = None
    gain_cents: Ints | None = None
    facts: Mapping[str, Fact] = field(default_factory=dict)
    downgraded: Mask | None = None
    missing: tuple[str, ...] = ()  # parts of the reference, or the day, without which nothing could be looked at

    @classmethod
    def none(cls, examined: int = 0) -> Matches:
        """Return no matches."""
        return cls(Groups.empty(0), examined)

    @classmethod
    def not_evaluable(cls, *missing: str) -> Matches:
        """Return that something is missing without which the test cannot be evaluated."""
        return cls(Groups.empty(0), 0, missing=missing)

    @classmethod
    def of_lines(cls, rows: Ints, examined: int, **more: Any) -> Matches:
        """Return a match for every row, at risk as a whole."""
        each = Groups.single(rows)
        return cls(each, examined, **{"risk": each, **more})

    def __len__(self) -> int:
        return len(self.affected)


def concat(parts: Sequence[Matches]) -> Matches:
    """Return the matches of several evaluations of one primitive; all must have the same facts."""
    found = [part for part in parts if len(part)]
    examined = sum(part.examined for part in parts)
    missing = tuple(dict.fromkeys(name for part in parts for name in part.missing))
    if not found:
        return Matches(Groups.empty(0), examined, missing=missing)
    return Matches(
        affected=_stack([part.affected for part in found]),
        examined=examined,
        risk=_stack([part.risk or Groups.empty(len(part)) for part in found]),
        facts={
            name: pa.concat_arrays([_array(part.facts[name], len(part)) for part in found]) for name in found[0].facts
        },
        downgraded=np.concatenate(
            [np.zeros(len(part), np.bool_) if part.downgraded is None else part.downgraded for part in found]
        ),
        missing=missing,
    )


def _stack(groups: Sequence[Groups]) -> Groups:
    sizes = np.concatenate([one.sizes for one in groups])
    return Groups(np.concatenate([one.rows for one in groups]), np.concatenate([[0], np.cumsum(sizes)]))


def _array(fact: Fact, size: int) -> pa.Array:
    if isinstance(fact, int | str):
        return pa.array([fact] * size)
    return fact if isinstance(fact, pa.Array) else pa.array(fact)
