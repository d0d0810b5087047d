"""The channel to a server: keepalive, retries of calls that may be repeated, limits."""

from __future__ import annotations

import json
from ipaddress import ip_address

import grpc

_SERVICE = "facnet.v1.ValidationService"
# Calls that only read may be repeated as often as one likes. Uploads (with GetUpload) and watches have their own way.
_REPEATABLE = (
    "GetValidation",
    "ListValidations",
    "GetValidationSummary",
    "ListValidationResults",
    "ListRejectedRows",
    "ListBillingRecords",
    "ListValidationLogs",
    "GetBatch",
    "CancelValidation",  # changes nothing the second time
)
SERVICE_CONFIG = {
    "methodConfig": [
        {
            "name": [{"service": _SERVICE, "method": method} for method in _REPEATABLE],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.2s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        },
    ],
}
# A page of 1,000 results whose lines are many is larger than gRPC's default of 4 MiB.
_MAX_ANSWER_BYTES = 64 << 20


def connect(target: str, credentials: grpc.ChannelCredentials | None) -> grpc.Channel:
    """Return a channel to `target` (host:port); nothing is sent yet. Without credentials it is in the clear."""
    options: list[tuple[str, str | int]] = [
        ("grpc.service_config", json.dumps(SERVICE_CONFIG)),
        # Servers send something every 15 s while a stream is open, which makes these pings welcome.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.max_receive_message_length", _MAX_ANSWER_BYTES),
        # One reconnect after the other, not one a minute: runs are watched for seconds.
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.min_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 5_000),
        # A proxy of the environment is never the way to this machine itself.
        ("grpc.enable_http_proxy", 0 if is_local(target) else 1),
        # Each client has a connection of its own, so that closing one leaves others alone.
        ("grpc.use_local_subchannel_pool", 1),
    ]
    if credentials is None:
        return grpc.insecure_channel(target, options)
    return grpc.secure_channel(target, credentials, options)


def is_local(target: str) -> bool:
    """Return whether `target` is an address of this machine's loopback."""
    if target.startswith("unix:"):
        return True
    host = target.rpartition("/")[2].rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
