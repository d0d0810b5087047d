"""Asks a server how it is."""

from __future__ import annotations

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

SERVICE = "facnet.v1.ValidationService"


def is_serving(target: str, *, timeout: float = 2.0) -> bool:
    """Whether the server at `target` (host:port) says that it answers, within `timeout` seconds."""
    with grpc.insecure_channel(target) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(service=SERVICE),
                timeout=timeout,
            )
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
