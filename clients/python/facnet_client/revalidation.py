"""What would be different if a run were judged today: values, and the call that asks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import grpc

from facnet_client import convert
from facnet_client.calls import Calls
from facnet_client.errors import from_rpc
from facnet_client.values import Result
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb2


class ChangeKind(StrEnum):
    """How a result would change."""

    UNSPECIFIED = "unspecified"
    ADDED = "added"
    GONE = "gone"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class ResultChange:
    """A result as the run found it and as the present rules find it; None on the side that has none."""

    kind: ChangeKind
    before: Result | None
    after: Result | None


@dataclass(frozen=True, slots=True)
class RevalidationSummary:
    """What all changes come to, and what the run was and would be judged by."""

    added: int
    gone: int
    changed: int
    unchanged: int
    rule_set_version_before: str
    rule_set_version_after: str
    reference_version_before: str
    reference_version_after: str


def revalidate(calls: Calls, validation_id: str) -> Iterator[ResultChange | RevalidationSummary]:
    """Yield the changes in their order, the summary last. Raises `FacnetError`."""
    request = pb2.RevalidateValidationRequest(validation_id=validation_id)
    call = calls.stub.RevalidateValidation(request, metadata=calls.metadata)
    try:
        for message in call:
            yield _summary(message.summary) if message.WhichOneof("message") == "summary" else _change(message.change)
    except grpc.RpcError as error:
        raise from_rpc(error) from None
    finally:
        call.cancel()  # if nobody wants the rest


def _change(message: pb2.ResultChange) -> ResultChange:
    return ResultChange(
        kind=convert.named(ChangeKind, pb2.ChangeKind, message.kind, "CHANGE_KIND_"),
        before=convert.result(message.before) if message.HasField("before") else None,
        after=convert.result(message.after) if message.HasField("after") else None,
    )


def _summary(message: pb2.RevalidationSummary) -> RevalidationSummary:
    return RevalidationSummary(
        added=message.added,
        gone=message.gone,
        changed=message.changed,
        unchanged=message.unchanged,
        rule_set_version_before=message.rule_set_version_before,
        rule_set_version_after=message.rule_set_version_after,
        reference_version_before=message.reference_version_before,
        reference_version_after=message.reference_version_after,
    )
