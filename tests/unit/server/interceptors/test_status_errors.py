"""Every error has a gRPC code, and every reason is the API's."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status

from facnet_grpc import errors
from facnet_grpc.errors import FacnetError, InvalidInput, NotFound, Reason, TransientError
from facnet_grpc.gen.facnet.v1 import error_reason_pb2
from facnet_grpc.server.interceptors.errors import CODES, CODES_BY_REASON, code_of, details
from facnet_grpc.server.request_context import Request
from facnet_grpc.texts.language import Locale
from facnet_grpc.texts.render import error_text


def tree(kind: type[FacnetError] = FacnetError) -> Iterator[type[FacnetError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from tree(child)


def unpacked(packed: bytes) -> dict[str, object]:
    found = {}
    for part in Status.FromString(packed).details:
        name = part.TypeName().removeprefix("google.rpc.")
        found[name] = getattr(error_details_pb2, name)()
        part.Unpack(found[name])
    return found


@pytest.mark.parametrize("kind", [kind for kind in tree() if kind.__module__ == errors.__name__])
def test_every_kind_of_error_has_its_own_code(kind: type[FacnetError]) -> None:
    assert kind in CODES
    assert code_of(kind()) is not grpc.StatusCode.OK


def test_a_kind_that_nobody_thought_of_gets_its_parents_code() -> None:
    stranger = type("Stranger", (InvalidInput,), {"__module__": "elsewhere"})
    assert code_of(stranger()) is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("reason", CODES_BY_REASON)
def test_some_reasons_have_a_code_of_their_own(reason: Reason) -> None:
    assert code_of(FacnetError(reason)) is CODES_BY_REASON[reason]


def test_reasons_are_those_of_the_api() -> None:
    names = {name.removeprefix("ERROR_REASON_") for name in error_reason_pb2.ErrorReason.keys()}  # noqa: SIM118 - no dict
    assert {reason.value for reason in Reason} == names - {"UNSPECIFIED"}


@pytest.mark.parametrize("reason", Reason)
@pytest.mark.parametrize("locale", Locale)
def test_every_error_can_be_told(reason: Reason, locale: Locale) -> None:
    message, packed = details(FacnetError(reason), grpc.StatusCode.INTERNAL, Request("r1", locale))
    parts = unpacked(packed)
    assert message
    assert message == error_text(FacnetError(reason), Locale.EN).message, "English, whatever the caller speaks"
    assert parts["ErrorInfo"].reason == reason.value  # type: ignore[attr-defined]
    assert parts["LocalizedMessage"].locale == locale.tag  # type: ignore[attr-defined]


def test_details_fit_the_error() -> None:
    def parts(error: FacnetError) -> set[str]:
        return set(unpacked(details(error, code_of(error), Request("r1"))[1])) - {
            "ErrorInfo",
            "LocalizedMessage",
            "RequestInfo",
        }

    assert parts(InvalidInput(field="x")) == {"BadRequest"}
    assert parts(InvalidInput(Reason.EMPTY_FILE)) == set()
    assert parts(NotFound(validation_id="x")) == {"ResourceInfo"}
    assert parts(TransientError()) == {"RetryInfo"}
    assert parts(FacnetError()) == set()


def test_lists_among_the_params_become_text() -> None:
    error = InvalidInput(field="rule_ids", known=["a", "b"])
    info = unpacked(details(error, code_of(error), Request("r1"))[1])["ErrorInfo"]
    assert dict(info.metadata) == {"field": "rule_ids", "known": "a, b"}  # type: ignore[attr-defined]
