"""The gRPC server: which services it has, what stands around every call, and what it takes from a connection."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import grpc
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_channelz.v1._async import ChannelzServicer
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection

from facnet_grpc.gen.facnet.v1 import operations_service_pb2, reference_service_pb2, rule_service_pb2
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.gen.facnet.v1 import validation_service_pb2_grpc as pb_grpc
from facnet_grpc.server import transport
from facnet_grpc.server.access.identity import Identity
from facnet_grpc.server.access.limits import OpenCalls, RateLimiter
from facnet_grpc.server.interceptors.auth import auth, limits
from facnet_grpc.server.interceptors.chain import Chain, Interceptor
from facnet_grpc.server.interceptors.deadline import deadline
from facnet_grpc.server.interceptors.errors import status_errors
from facnet_grpc.server.interceptors.observability import access_log, call_metrics, call_trace
from facnet_grpc.server.interceptors.request_context import request_id
from facnet_grpc.server.runs.service import ValidationService
from facnet_grpc.settings import Settings
from facnet_grpc.settings.process import ServerSettings

SERVICES = (
    pb.DESCRIPTOR.services_by_name["ValidationService"],
    rule_service_pb2.DESCRIPTOR.services_by_name["RuleService"],
    reference_service_pb2.DESCRIPTOR.services_by_name["ReferenceService"],
    operations_service_pb2.DESCRIPTOR.services_by_name["OperationsService"],
    health_pb2.DESCRIPTOR.services_by_name["Health"],
    channelz_pb2.DESCRIPTOR.services_by_name["Channelz"],
)

MIB = 1 << 20

OPTIONS = (
    # A chunk of 1 MiB and what is around it, also once a compressed message is expanded; answers are pages of at most
    # about 1 MiB.
    ("grpc.max_receive_message_length", 2 * MIB),
    ("grpc.max_send_message_length", 4 * MIB),
    # A stream may run ahead of its reader by this much and no more, so that memory per upload has a bound; the window
    # that grows with the measured bandwidth has none worth the name.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 512 << 10),
    # Clients that vanished are noticed within 40 s, so that their watches and uploads are let go.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # Who has not said within 10 s what they want, TLS and all, is hung up on: usually two minutes.
    ("grpc.server_handshake_timeout_ms", 10_000),
    # Clients may ping every 10 s, also while they have no call, without being sent away.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_ping_strikes", 2),
    # When a server comes back, everybody's watches do at once. grpc would reset those beyond a thousand that wait.
    ("grpc.server.max_pending_requests", 20_000),
    ("grpc.server.max_pending_requests_hard_limit", 40_000),
    ("grpc.enable_channelz", 1),
)


@dataclass(frozen=True, slots=True)
class App:
    """A server that can be started, and its health."""

    server: grpc.aio.Server
    health: health_aio.HealthServicer
    port: int
    mtls_port: int | None = None


def interceptors(settings: ServerSettings, identity: Identity, rate: RateLimiter) -> tuple[Interceptor, ...]:
    """Return what stands around every call, outermost first, the same for unary calls and streams."""
    return (
        request_id,  # first, so that everything below can name the call
        call_trace,  # outside of all that logs or counts
        access_log,  # outside of errors, so that it sees the status that the client sees
        call_metrics(_methods()),  # likewise
        status_errors,  # outside of all that may refuse a call
        auth(identity),  # before anything is done for the caller
        limits(rate, OpenCalls(settings.max_open_calls)),  # once it is known whose share the call is
        deadline(
            settings.default_deadline_seconds, settings.max_stream_seconds
        ),  # last: what it bounds is the work itself
    )


def build(
    service: ValidationService,
    settings: Settings,
    identity: Identity,
    rate: RateLimiter,
    others: Sequence[Callable[[grpc.aio.Server], None]] = (),
) -> App:
    """Return a server bound to its addresses; `others` add further services to it.

    Raises `OSError` if one of them is taken or not ours, `SettingsError` if a certificate cannot be used.
    """
    chain = Chain(interceptors(settings.server, identity, rate))
    server = grpc.aio.server(interceptors=[chain], options=(*OPTIONS, *_limits(settings.server)))
    pb_grpc.add_ValidationServiceServicer_to_server(service, server)
    for add in others:
        add(server)
    health = health_aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    channelz_pb2_grpc.add_ChannelzServicer_to_server(ChannelzServicer(), server)
    reflection.enable_server_reflection([*_names(), reflection.SERVICE_NAME], server)
    two = bool(settings.access.mtls_listen)
    port = _bind(server, settings.access.listen, transport.credentials(settings.access, of_clients=not two))
    mtls = (
        _bind(server, settings.access.mtls_listen, transport.credentials(settings.access, of_clients=True))
        if two
        else None
    )
    return App(server, health, port, mtls)


async def serve(app: App) -> None:
    """Start answering, and say so."""
    await app.server.start()
    for name in ("", *_names()):
        await app.health.set(name, health_pb2.HealthCheckResponse.SERVING)


async def tell(app: App, *, ready: bool) -> None:
    """Say of each service that stands on others whether they are there; the server itself answers in any case."""
    status = health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING
    for name in _names():
        if name.startswith("facnet."):
            await app.health.set(name, status)


def _bind(server: grpc.aio.Server, listen: str, credentials: grpc.ServerCredentials | None) -> int:
    try:
        return server.add_secure_port(listen, credentials) if credentials else server.add_insecure_port(listen)
    except RuntimeError:
        raise OSError(f"cannot listen on {listen}") from None


def _limits(settings: ServerSettings) -> list[tuple[str, int]]:
    """Return what a connection and the headers of a call may amount to."""
    age = settings.max_connection_seconds
    options = [
        # Two servers on one port are a mistake, unless somebody says that they share its load.
        ("grpc.so_reuseport", int(settings.reuse_port)),
        ("grpc.max_concurrent_streams", settings.max_connection_streams),
        ("grpc.max_metadata_size", settings.max_metadata_bytes),
        ("grpc.absolute_max_metadata_size", settings.max_metadata_bytes),
    ]
    if age:
        options += [
            ("grpc.max_connection_age_ms", round(age * 1000)),
            ("grpc.max_connection_age_grace_ms", round(settings.connection_grace_seconds * 1000)),
        ]
    return options


def _names() -> Iterable[str]:
    return [service.full_name for service in SERVICES]


def _methods() -> frozenset[str]:
    return frozenset(f"/{service.full_name}/{method.name}" for service in SERVICES for method in service.methods)
