"""The gRPC server: which services it has, what stands around every call, and what it takes from a connection."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection

from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.gen.facnet.v1 import validation_service_pb2_grpc as pb_grpc
from facnet_grpc.server.interceptors.access_log import access_log
from facnet_grpc.server.interceptors.auth import auth
from facnet_grpc.server.interceptors.call_metrics import call_metrics
from facnet_grpc.server.interceptors.chain import Chain, Interceptor
from facnet_grpc.server.interceptors.deadline import deadline
from facnet_grpc.server.interceptors.errors import status_errors
from facnet_grpc.server.interceptors.request_id import request_id
from facnet_grpc.server.services.validation import ValidationService

SERVICES = (
    pb.DESCRIPTOR.services_by_name["ValidationService"],
    health_pb2.DESCRIPTOR.services_by_name["Health"],
)

MIB = 1 << 20

OPTIONS = (
    # A chunk of 1 MiB and what is around it; answers are pages of at most about 1 MiB.
    ("grpc.max_receive_message_length", 2 * MIB),
    ("grpc.max_send_message_length", 4 * MIB),
    # A stream may run ahead of its reader by this much and no more, so that memory per upload has a bound; the window
    # that grows with the measured bandwidth has none worth the name.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 512 << 10),
    # Clients that vanished are noticed within 40 s, so that their watches and uploads are let go.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # Clients may ping every 10 s, also while they have no call, without being sent away.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # When a server comes back, everybody's watches do at once. grpc would reset those beyond a thousand that wait.
    ("grpc.server.max_pending_requests", 20_000),
    ("grpc.server.max_pending_requests_hard_limit", 40_000),
    # Two servers on one port are a mistake, not a way to share load.
    ("grpc.so_reuseport", 0),
)


@dataclass(frozen=True, slots=True)
class App:
    """A server that can be started, and its health."""

    server: grpc.aio.Server
    health: health_aio.HealthServicer
    port: int


def interceptors(default_deadline_seconds: float) -> tuple[Interceptor, ...]:
    """Return what stands around every call, outermost first, the same for unary calls and streams."""
    return (
        request_id,  # first, so that everything below can name the call
        access_log,  # outside of errors, so that it sees the status that the client sees
        call_metrics(_methods()),  # likewise
        status_errors,  # outside of all that may refuse a call
        auth,  # before anything is done for the caller
        deadline(default_deadline_seconds),  # last: what it bounds is the work itself
    )


def build(service: ValidationService, *, listen: str, default_deadline_seconds: float) -> App:
    """Return a server bound to `listen`. Raises `OSError` if the address is taken or not ours."""
    server = grpc.aio.server(interceptors=[Chain(interceptors(default_deadline_seconds))], options=OPTIONS)
    pb_grpc.add_ValidationServiceServicer_to_server(service, server)
    health = health_aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    reflection.enable_server_reflection([*_names(), reflection.SERVICE_NAME], server)
    return App(server, health, _bind(server, listen))


async def serve(app: App) -> None:
    """Start answering, and say so."""
    await app.server.start()
    for name in ("", *_names()):
        await app.health.set(name, health_pb2.HealthCheckResponse.SERVING)


def _bind(server: grpc.aio.Server, listen: str) -> int:
    try:
        return server.add_insecure_port(listen)
    except RuntimeError:
        raise OSError(f"cannot listen on {listen}") from None


def _names() -> Iterable[str]:
    return [service.full_name for service in SERVICES]


def _methods() -> frozenset[str]:
    return frozenset(f"/{service.full_name}/{method.name}" for service in SERVICES for method in service.methods)
