"""The role that each call requires. Calls that are not listed are refused; a test checks that all are listed."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from facnet_grpc.errors import Forbidden
from facnet_grpc.model.access import Caller, Role

# Without authentication: health, and reflection (the protos are no secret).
PUBLIC = frozenset(
    {
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/List",
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    },
)

_CALLS: Mapping[str, Mapping[Role, tuple[str, ...]]] = {
    "facnet.v1.ValidationService": {
        Role.VIEWER: (
            "WatchValidation",
            "GetValidation",
            "ListValidations",
            "GetValidationSummary",
            "GetBatch",
            "ListValidationResults",
            "ListRejectedRows",
            "ListBillingRecords",
            "ListValidationLogs",
            "ExportValidation",
            "RevalidateValidation",  # computes results that a viewer may read, and stores nothing
        ),
        Role.EDITOR: (
            "SubmitValidation",
            "UploadChunk",
            "GetUpload",
            "CancelValidation",
            "RetryValidation",
            "DeleteValidation",
        ),
    },
    "facnet.v1.RuleService": {Role.VIEWER: ("ListRules", "GetRule")},
    "facnet.v1.ReferenceService": {
        Role.VIEWER: ("ListBillingCodes", "GetBillingCode", "ListEstablishments", "GetReferenceVersion"),
        Role.ADMIN: ("ImportReference",),
    },
    "facnet.v1.OperationsService": {
        Role.ADMIN: ("GetQueueStats", "ListFailedJobs", "ReplayFailedJob", "PurgeValidations"),
    },
    "grpc.channelz.v1.Channelz": {
        Role.ADMIN: (
            "GetTopChannels",
            "GetServers",
            "GetServer",
            "GetServerSockets",
            "GetChannel",
            "GetSubchannel",
            "GetSocket",
        ),
    },
}

ROLES: Mapping[str, Role] = MappingProxyType(
    {
        f"/{service}/{call}": role
        for service, calls in _CALLS.items()
        for role, names in calls.items()
        for call in names
    },
)


def check(method: str, caller: Caller) -> None:
    """Raise `Forbidden` unless `caller` may call `method` (`/service/call`)."""
    role = ROLES.get(method)
    if role is None:
        raise Forbidden
    if not caller.may(role):
        raise Forbidden(role=role.name.lower())
