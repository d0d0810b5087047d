"""Nonsense through the real port, for every call and in every field: the server says so calmly, and is well after."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from serving import Refusal, Server, assert_well

from facnet_grpc.server.app import SERVICES

pytestmark = pytest.mark.system

Code = grpc.StatusCode
MIB = 1 << 20
METHODS = [method for service in SERVICES if service.full_name.startswith("facnet.") for method in service.methods]
IDS = [method.full_name.removeprefix("facnet.v1.") for method in METHODS]
# What a caller may be told about nonsense. INTERNAL and UNKNOWN would be defects.
CALM = {Code.INVALID_ARGUMENT, Code.NOT_FOUND, Code.OK, Code.UNIMPLEMENTED, Code.FAILED_PRECONDITION, Code.OUT_OF_RANGE}


@pytest.fixture(autouse=True)
def _is_well_afterwards(server: Server) -> Iterator[None]:
    yield
    assert_well(server)


def raw(server: Server, method: MethodDescriptor, data: bytes, **options: Any) -> Refusal | None:
    """Make a call with any bytes as its only request."""
    kind = ("stream" if method.client_streaming else "unary", "stream" if method.server_streaming else "unary")
    call = getattr(server.channel, "_".join(kind))(f"/{method.containing_service.full_name}/{method.name}")
    request = iter([data]) if method.client_streaming else data
    try:
        answer = call(request, timeout=20, **options)
        if method.server_streaming:
            next(answer, None)
            answer.cancel()
    except grpc.RpcError as error:
        return Refusal(error)
    return None


Way = tuple[FieldDescriptor, ...]


def strings(message: Descriptor, above: Way = ()) -> Iterator[Way]:
    """The way to each text that a message may hold: in itself, in messages within it, in lists and in maps."""
    for field in message.fields:
        if field.type == FieldDescriptor.TYPE_STRING:
            yield (*above, field)
        elif field.message_type is not None and field.message_type not in [one.message_type for one in above]:
            yield from strings(field.message_type, (*above, field))


def holding(way: Way, content: bytes) -> bytes:
    """A message that has `content` there and nothing else, whether that may be or not."""
    for field in reversed(way):
        content = bytes([*_varint(field.number << 3 | 2), *_varint(len(content))]) + content
    return content


def _varint(number: int) -> Iterator[int]:
    while number > 0x7F:
        yield number & 0x7F | 0x80
        number >>= 7
    yield number


WITH_TEXT = [method for method in METHODS if any(strings(method.input_type))]


@pytest.mark.parametrize("method", WITH_TEXT, ids=lambda method: method.full_name.removeprefix("facnet.v1."))
def test_text_that_is_no_utf_8_is_refused_in_every_field(server: Server, method: MethodDescriptor) -> None:
    for way in strings(method.input_type):
        name = ".".join(field.name for field in way)
        for junk in (b"\xff\xfe", b"\xc0\xaf", b"\xed\xa0\x80", b"a\x80b"):
            refusal = raw(server, method, holding(way, junk))
            assert refusal, name
            assert (refusal.code, refusal.reason) == (Code.INVALID_ARGUMENT, "INVALID_ARGUMENT"), name
            assert "\\x" not in refusal.message


def test_every_text_is_found() -> None:
    ways = {".".join(field.name for field in way) for method in METHODS for way in strings(method.input_type)}
    assert {"validation_id", "header.file_name", "header.labels.key", "header.labels.value", "rule_ids"} <= ways


@pytest.mark.parametrize("method", METHODS, ids=IDS)
def test_nonsense_is_answered_calmly(server: Server, method: MethodDescriptor) -> None:
    dice = random.Random(method.full_name)
    seeds = [_filled(method.input_type, dice) for _ in range(12)]
    for seed in seeds:
        for data in (seed, _mutated(seed, dice), _mutated(seed, dice), dice.randbytes(dice.randrange(200))):
            refusal = raw(server, method, data)
            assert (refusal.code if refusal else Code.OK) in CALM, data
            assert not refusal or "Traceback" not in refusal.message


def _filled(kind: Descriptor, dice: random.Random, depth: int = 3) -> bytes:
    """Return a message whose fields are filled with what fits the type and makes no sense, and so are those in it."""
    message = GetMessageClass(kind)()
    choices: dict[int, Callable[[], Any]] = {
        FieldDescriptor.TYPE_STRING: lambda: dice.choice(["", "x" * 300, str(uuid4()), "\0", "é\u202e", "-1", "a,b"]),
        FieldDescriptor.TYPE_BYTES: lambda: dice.randbytes(20),
        FieldDescriptor.TYPE_BOOL: lambda: True,
        FieldDescriptor.TYPE_INT32: lambda: dice.choice([-(2**31), -1, 0, 1, 2**31 - 1]),
        FieldDescriptor.TYPE_INT64: lambda: dice.choice([-(2**63), -1, 0, 1, 2**63 - 1]),
        FieldDescriptor.TYPE_ENUM: lambda: dice.choice([-1, 0, 1, 99]),
    }
    parts = []
    for field in kind.fields:
        if dice.random() > 0.7:
            continue
        if field.message_type is not None and depth:
            inner = _filled(field.message_type, dice, depth - 1)
            parts += [holding((field,), inner)] * (dice.choice([1, 3]) if field.is_repeated else 1)
        elif field.type in choices:
            value = choices[field.type]()
            if field.is_repeated:
                getattr(message, field.name).extend([value] * dice.choice([1, 3, 200]))
            else:
                setattr(message, field.name, value)
    return bytes(message.SerializeToString()) + b"".join(parts)


def _mutated(data: bytes, dice: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(dice.randrange(1, 5)):
        position = dice.randrange(len(changed) + 1)
        changed[position:position] = dice.randbytes(dice.randrange(1, 4))
        if dice.random() < 0.5:
            del changed[dice.randrange(len(changed)) :]
    return bytes(changed)
