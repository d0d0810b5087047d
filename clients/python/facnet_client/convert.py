"""Values, and how messages of the API become them.

A value is a frozen dataclass. Its fields are declared once, with the names of the message's fields and the types that a
Python program wants; `Value.from_message` reads the message by these declarations. Nothing is copied by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from operator import attrgetter
from types import NoneType
from typing import Any, ClassVar, Self, dataclass_transform, get_args, get_origin, get_type_hints

from google.protobuf.descriptor import Descriptor, EnumDescriptor
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.protobuf.struct_pb2 import Value as JsonValue
from google.protobuf.timestamp_pb2 import Timestamp

from facnet_grpc.gen.facnet.v1.money_pb2 import Money

_NANOS_PER_CENT = 10_000_000
_Convert = Callable[[Any], Any]


@dataclass_transform(frozen_default=True)
class Value:
    """Base of all values: immutable, comparable, and made from a message.

    How a field is read follows from its type:

    - `int | None` and the like: None if the message does not have the field; if the field has no presence, if it is 0
      or empty.
    - an enumeration: by name; UNSPECIFIED for a value that is newer than this library.
    - `name_cents`, `name_seconds`: the amount or the duration `name` of the message.
    - `datetime`: in UTC.
    - `tuple[...]`: a repeated field.
    - `Mapping`: a Struct, a map, a text in several languages (by language), or a repeated message of two fields, which
      are key and value.
    """

    # Where a field of the message has another name, or is inside another message: "progress.percent".
    sources: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls) -> None:
        dataclass(frozen=True, repr=False)(cls)

    def __repr__(self) -> str:
        """Name what the value is about: ids, numbers of lines and enumerations; never a text, which may be a person."""
        shown = ((field.name, getattr(self, field.name)) for field in fields(self))  # type: ignore[arg-type]  # it is one
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in shown if _is_safe_to_show(k, v))})"

    @classmethod
    def from_message(cls, message: Message) -> Self:
        """Return the value of a message."""
        readers = _readers(cls, message.DESCRIPTOR)  # type: ignore[arg-type]  # classes are hashable, Self is one
        return cls(*[read(message) for read in readers])


def _is_safe_to_show(name: str, value: object) -> bool:
    return isinstance(value, StrEnum) or name.endswith("_id") or name in {"record_number", "percent"}


def cents(money: Money) -> int:
    """Return an amount in cents; exact, because nanos are whole cents."""
    return money.units * 100 + round(money.nanos / _NANOS_PER_CENT)


def timestamp(moment: datetime | None) -> Timestamp | None:
    """Return a moment for a request; one without a zone is taken as local time."""
    if moment is None:
        return None
    made = Timestamp()
    made.FromDatetime(moment.astimezone(UTC))
    return made


@cache
def _readers(kind: Any, message: Descriptor) -> tuple[_Convert, ...]:
    hints = get_type_hints(kind)
    return tuple(_reader(kind, message, field.name, hints[field.name]) for field in fields(kind))


def _reader(kind: type[Value], message: Any, name: str, hint: Any) -> _Convert:
    """Return what reads one field of a value from the whole message."""
    source = kind.sources.get(name) or name.removesuffix("_cents").removesuffix("_seconds")
    *outer, last = source.split(".")
    for part in outer:
        message = message.fields_by_name[part].message_type
    field = message.fields_by_name[last]
    read, convert = attrgetter(source), _converter(field, _without_none(hint))
    if not field.has_presence:
        if _is_optional(hint):
            return lambda found: read(found) or None
        return read if convert is _same else lambda found: convert(read(found))
    if _is_optional(hint):
        return lambda found: convert(read(found)) if found.HasField(source) else None
    if get_origin(hint) is Mapping:
        return lambda found: convert(read(found)) if found.HasField(source) else {}
    return lambda found: convert(read(found))


def _is_optional(hint: Any) -> bool:
    return NoneType in get_args(hint)


def _without_none(hint: Any) -> Any:
    return next(part for part in get_args(hint) if part is not NoneType) if _is_optional(hint) else hint


def _converter(field: Any, hint: Any) -> _Convert:
    """Return what makes the value of a field that is set."""
    if get_origin(hint) is tuple:
        item = _converter(field, get_args(hint)[0])
        return tuple if item is _same else lambda items: tuple(map(item, items))
    if get_origin(hint) is Mapping:
        return _mapping_converter(field, get_args(hint))
    if isinstance(hint, type) and issubclass(hint, Value):
        return hint.from_message
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return _enum_converter(hint, field.enum_type)
    return _CONVERTERS.get(field.message_type.full_name, _same) if field.message_type else _same


def _mapping_converter(field: Any, hints: tuple[Any, ...]) -> _Convert:
    message = field.message_type
    if message.full_name == Struct.DESCRIPTOR.full_name:
        return _plain_struct
    if message.GetOptions().map_entry:
        return lambda entries: dict(sorted(entries.items()))
    first, second = message.fields[:2]
    if not field.is_repeated:
        return lambda texts: {first.name: getattr(texts, first.name), second.name: getattr(texts, second.name)}
    key, value = _converter(first, hints[0]), _converter(second, hints[1])
    return lambda pairs: {key(getattr(pair, first.name)): value(getattr(pair, second.name)) for pair in pairs}


def _enum_converter(kind: type[StrEnum], wire: EnumDescriptor) -> _Convert:
    prefix = wire.values_by_number[0].name.removesuffix("UNSPECIFIED")
    known = {
        number: kind.__members__.get(value.name.removeprefix(prefix)) for number, value in wire.values_by_number.items()
    }
    unspecified = kind["UNSPECIFIED"]
    return lambda number: known.get(number) or unspecified


def _plain_struct(struct: Struct) -> dict[str, Any]:
    """Return a Struct as plain values, keys sorted: whole numbers are int again, although Struct only knows doubles."""
    return {name: _plain(struct.fields[name]) for name in sorted(struct.fields)}


def _plain(value: JsonValue) -> Any:
    match value.WhichOneof("kind"):
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() else number
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "list_value":
            return [_plain(item) for item in value.list_value.values]
        case "struct_value":
            return _plain_struct(value.struct_value)
        case _:
            return None


def _plain_parameter(value: JsonValue) -> Any:
    found = _plain(value)
    return tuple(found) if isinstance(found, list) else found


def _same(value: Any) -> Any:
    return value


_CONVERTERS: Mapping[str, _Convert] = {
    "facnet.v1.Money": cents,
    "google.protobuf.Duration": lambda duration: duration.ToTimedelta().total_seconds(),
    "google.protobuf.Timestamp": lambda moment: moment.ToDatetime(tzinfo=UTC),
    "google.protobuf.Value": _plain_parameter,
}
