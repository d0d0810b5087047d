"""Checks a server's health as a client does: in plain text, or with TLS if the client's variables ask for it."""

from __future__ import annotations

import os
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

SERVICE = "facnet.v1.ValidationService"


def is_serving(target: str, *, timeout: float = 2.0) -> bool:
    """Whether the server at `target` (host:port) says SERVING within `timeout` seconds."""
    try:
        with _channel(target) as channel:
            answer = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(service=SERVICE),
                timeout=timeout,
            )
    except (grpc.RpcError, OSError):
        return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _channel(target: str) -> grpc.Channel:
    ca, key, cert = (_file(f"FACNET_{name}") for name in ("CA", "KEY", "CERT"))
    if ca is None and cert is None and os.environ.get("FACNET_TLS", "").lower() not in {"1", "true", "yes", "on"}:
        return grpc.insecure_channel(target)
    return grpc.secure_channel(target, grpc.ssl_channel_credentials(ca, key, cert))


def _file(variable: str) -> bytes | None:
    path = os.environ.get(variable)
    return Path(path).read_bytes() if path else None
