"""The gRPC server: its services, the interceptors in order, and the limits of a connection."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_channelz.v1._async import ChannelzServicer
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection

from facnet_grpc.gen.facnet.v1 import (
    operations_service_pb2,
    operations_service_pb2_grpc,
    reference_service_pb2,
    reference_service_pb2_grpc,
    rule_service_pb2,
    rule_service_pb2_grpc,
    validation_service_pb2,
    validation_service_pb2_grpc,
)
from facnet_grpc.server import transport
from facnet_grpc.server.access.identity import Identity
from facnet_grpc.server.access.limits import OpenCalls, RateLimiter
from facnet_grpc.server.interceptors.admission import auth, deadline, limits
from facnet_grpc.server.interceptors.chain import Chain, Interceptor
from facnet_grpc.server.interceptors.errors import status_errors
from facnet_grpc.server.interceptors.observability import access_log, call_metrics, call_trace, request_id
from facnet_grpc.settings import Settings
from facnet_grpc.settings.process import ServerSettings

# Our services, with the generated functions that add them to a server.
OWN_SERVICES: Mapping[ServiceDescriptor, Callable[[object, grpc.aio.Server], None]] = {
    messages.DESCRIPTOR.services_by_name[name]: getattr(stubs, f"add_{name}Servicer_to_server")
    for name, messages, stubs in (
        ("ValidationService", validation_service_pb2, validation_service_pb2_grpc),
        ("RuleService", rule_service_pb2, rule_service_pb2_grpc),
        ("ReferenceService", reference_service_pb2, reference_service_pb2_grpc),
        ("OperationsService", operations_service_pb2, operations_service_pb2_grpc),
    )
}
SERVICES: tuple[ServiceDescriptor, ...] = (
    *OWN_SERVICES,
    health_pb2.DESCRIPTOR.services_by_name["Health"],
    channelz_pb2.DESCRIPTOR.services_by_name["Channelz"],
)

MIB = 1 << 20

OPTIONS = (
    # A chunk of 1 MiB and its envelope, also after decompression; answers are pages of about 1 MiB at most.
    ("grpc.max_receive_message_length", 2 * MIB),
    ("grpc.max_send_message_length", 4 * MIB),
    # Bounds the bytes that a stream buffers ahead of its reader, and so the memory per upload; the window that grows
    # with the measured bandwidth has no useful bound.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 512 << 10),
    # Dead connections are detected within 40 s, so that their watches and uploads are released.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # A connection that has not finished its handshakes (TLS, HTTP/2) within 10 s is closed; the default is 2 minutes.
    ("grpc.server_handshake_timeout_ms", 10_000),
    # Clients may ping every 10 s, also without an open call, without getting GOAWAY.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_ping_strikes", 2),
    # After a restart all watches reconnect at once. By default gRPC resets calls beyond 1,000 pending ones.
    ("grpc.server.max_pending_requests", 20_000),
    ("grpc.server.max_pending_requests_hard_limit", 40_000),
    ("grpc.enable_channelz", 1),
)


@dataclass(frozen=True, slots=True)
class App:
    """A server that can be started, its health service, and the ports that it is bound to."""

    server: grpc.aio.Server
    health: health_aio.HealthServicer
    port: int
    mtls_port: int | None = None


def interceptors(settings: ServerSettings, identity: Identity, rate: RateLimiter) -> tuple[Interceptor, ...]:
    """Return the interceptors of every call, unary or streaming, outermost first."""
    return (
        request_id,  # first, so that all others can log the id
        call_trace,  # outside of the interceptors that log or count
        access_log,  # outside of status_errors, so that it sees the status that the client sees
        call_metrics([_path(service, method) for service in SERVICES for method in service.methods]),  # likewise
        status_errors,  # outside of all that may refuse a call
        auth(identity),  # before any work is done for the caller
        limits(rate, OpenCalls(settings.max_open_calls)),  # after auth: limits are per owner
        deadline(settings.default_deadline_seconds, settings.max_stream_seconds),  # last: it bounds the work itself
    )


def build(
    features: Sequence[object],
    settings: Settings,
    identity: Identity,
    rate: RateLimiter,
    *,
    options: Sequence[tuple[str, int]] = OPTIONS,
) -> App:
    """Return a server bound to its addresses, with the RPC methods of `features`.

    Raises `OSError` if an address is taken or not ours, `SettingsError` if a certificate cannot be used, `TypeError` if
    the methods of `features` are not those of the protos.
    """
    chain = Chain(interceptors(settings.server, identity, rate))
    server = grpc.aio.server(interceptors=[chain], options=(*options, *_connection_options(settings.server)))
    for service, add in OWN_SERVICES.items():
        add(compose(service, features), server)
    health = health_aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    channelz_pb2_grpc.add_ChannelzServicer_to_server(ChannelzServicer(), server)
    reflection.enable_server_reflection([*_names(), reflection.SERVICE_NAME], server)
    access = settings.access
    port = _bind(server, access.listen, transport.credentials(access, require_client=not access.mtls_listen))
    mtls_port = None
    if access.mtls_listen:
        mtls_port = _bind(server, access.mtls_listen, transport.credentials(access, require_client=True))
    return App(server, health, port, mtls_port)


def compose(service: ServiceDescriptor, features: Sequence[object]) -> SimpleNamespace:
    """Return a servicer with the RPC methods of a service, each taken from the only feature that has it.

    Raises `TypeError` if no feature, or more than one, has a method of that name.
    """
    methods = {}
    for method in service.methods:
        found = [getattr(feature, method.name) for feature in features if hasattr(feature, method.name)]
        if len(found) != 1:
            raise TypeError(f"{len(found)} features implement {service.full_name}/{method.name}")
        methods[method.name] = found[0]
    return SimpleNamespace(**methods)


async def serve(app: App) -> None:
    """Start to answer, and report every service as serving."""
    await app.server.start()
    for name in ("", *_names()):
        await app.health.set(name, health_pb2.HealthCheckResponse.SERVING)


async def set_health(app: App, *, ready: bool) -> None:
    """Set the health of our services, which need PostgreSQL; the server itself (no service name) stays SERVING."""
    status = health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING
    for service in OWN_SERVICES:
        await app.health.set(service.full_name, status)


def _bind(server: grpc.aio.Server, listen: str, credentials: grpc.ServerCredentials | None) -> int:
    try:
        return server.add_secure_port(listen, credentials) if credentials else server.add_insecure_port(listen)
    except RuntimeError:
        raise OSError(f"cannot listen on {listen}") from None


def _connection_options(settings: ServerSettings) -> list[tuple[str, int]]:
    """Return the limits of a connection and of a call's metadata as gRPC options."""
    options = [
        # Off by default: two servers on one port are a mistake unless they share its load on purpose.
        ("grpc.so_reuseport", int(settings.reuse_port)),
        ("grpc.max_concurrent_streams", settings.max_connection_streams),
        ("grpc.max_metadata_size", settings.max_metadata_bytes),
        ("grpc.absolute_max_metadata_size", settings.max_metadata_bytes),
    ]
    if age := settings.max_connection_seconds:
        options += [
            ("grpc.max_connection_age_ms", round(age * 1000)),
            ("grpc.max_connection_age_grace_ms", round(settings.connection_grace_seconds * 1000)),
        ]
    return options


def _names() -> list[str]:
    return [service.full_name for service in SERVICES]


def _path(service: ServiceDescriptor, method: MethodDescriptor) -> str:
    return f"/{service.full_name}/{method.name}"
