"""TLS through the real port: certificates that are renewed, clients that have to show theirs, versions."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from authority import Authority, Issuer
from serving import Server, eventually

from facnet_client import FacnetClient, Refused, Retry, Unavailable
from facnet_grpc.server import transport
from facnet_grpc.server.access import identity
from facnet_grpc.settings.access import AccessSettings
from facnet_grpc.settings.environment import SettingsError

pytestmark = pytest.mark.system

HURRY = Retry(connect=0.1, patience=0.1)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def tls(authority: Authority) -> dict[str, Any]:
    cert, key = authority.issue("server")
    return {"tls_cert": cert, "tls_key": key}


def runs(target: str, timeout: float = 20.0, **options: Any) -> list[Any]:
    with FacnetClient(target, timeout=timeout, retry=HURRY, **options) as client:
        return list(client.list())


def port(server: Server) -> int:
    return int(server.target.rpartition(":")[2])


def peer_certificate(server: Server, authority: Authority) -> bytes:
    context = ssl.create_default_context(cafile=authority.ca)
    context.set_alpn_protocols(["h2"])
    raw = socket.create_connection(("127.0.0.1", port(server)), 5)
    with raw, context.wrap_socket(raw, server_hostname="localhost") as wrapped:
        found = wrapped.getpeercert(binary_form=True)
    assert found
    return found


def test_a_client_that_knows_the_authority_is_served_and_others_are_not(
    make_server: Callable[..., Server], tls: dict[str, Any], authority: Authority, tmp_path: Path
) -> None:
    server = make_server(**tls)
    assert runs(server.target, ca=authority.ca) == []
    (tmp_path / "evil").mkdir()
    with pytest.raises(Unavailable):
        runs(server.target, timeout=0.5, ca=Authority(tmp_path / "evil").ca)
    with pytest.raises(Unavailable):
        runs(server.target, timeout=0.5)


def test_a_renewed_certificate_is_served_without_a_restart_and_a_broken_one_is_not(
    make_server: Callable[..., Server], tls: dict[str, Any], authority: Authority
) -> None:
    server = make_server(**tls)
    with FacnetClient(server.target, ca=authority.ca) as long_lived:
        list(long_lived.list())
        before = peer_certificate(server, authority)
        authority.issue("server")
        renewed = peer_certificate(server, authority)
        assert renewed != before
        whole = tls["tls_cert"].read_bytes()
        for broken in (b"", whole[: len(whole) // 2], b"-----BEGIN CERTIFICATE-----\n"):
            tls["tls_cert"].write_bytes(broken)
            assert peer_certificate(server, authority) == renewed
        authority.issue("another", file="server")
        eventually(lambda: peer_certificate(server, authority) != renewed)
        assert list(long_lived.list()) == []


def test_grpc_is_given_a_configuration_once() -> None:
    first, second = object(), object()
    current = [first]
    fetch = transport.renewals(first, lambda: current[0])
    assert [fetch(), fetch()] == [None, None]
    current[0] = second
    assert [fetch(), fetch(), fetch()] == [second, None, None]


@pytest.mark.parametrize(
    ("version", "served"),
    [(ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_3, True)],
)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_nothing_older_than_tls_1_2(
    make_server: Callable[..., Server], tls: dict[str, Any], version: ssl.TLSVersion, served: bool
) -> None:
    server = make_server(**tls)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2"])
    with socket.create_connection(("127.0.0.1", port(server)), 5) as raw:
        try:
            with context.wrap_socket(raw) as wrapped:
                spoken = wrapped.version()
        except (ssl.SSLError, ConnectionError):
            spoken = None
    assert (spoken is not None) is served


def test_clients_have_to_show_a_certificate_of_the_right_authority(
    make_server: Callable[..., Server], tls: dict[str, Any], authority: Authority, tmp_path: Path
) -> None:
    server = make_server(**tls, tls_client_ca=authority.ca)
    cert, key = authority.issue("client")
    assert runs(server.target, ca=authority.ca, cert=cert, key=key) == []
    with pytest.raises(Unavailable):
        runs(server.target, timeout=0.5, ca=authority.ca)
    (tmp_path / "evil").mkdir()
    cert, key = Authority(tmp_path / "evil").issue("client")
    with pytest.raises(Unavailable):
        runs(server.target, timeout=0.5, ca=authority.ca, cert=cert, key=key)


def test_a_second_address_can_be_for_certificates_alone(
    make_server: Callable[..., Server], tls: dict[str, Any], authority: Authority, tmp_path: Path
) -> None:
    issuer = Issuer(tmp_path)
    more = {"tls_client_ca": authority.ca, "mtls_listen": "127.0.0.1:0", **issuer.settings}
    subjects = tmp_path / "subjects.toml"
    subjects.write_text('["CN=client"]\nowner = "clinic"\nroles = ["viewer"]\n')
    server = make_server(**tls, **more, mtls_subjects=subjects)
    cert, key = authority.issue("client")
    mtls = f"127.0.0.1:{server.running.app.mtls_port}"
    assert runs(mtls, ca=authority.ca, cert=cert, key=key) == []
    with pytest.raises(Unavailable):
        runs(mtls, timeout=0.5, ca=authority.ca)
    assert runs(server.target, ca=authority.ca, token=issuer.token("clinic")) == []
    assert runs(server.target, ca=authority.ca, token=lambda: issuer.token("clinic")) == []
    with pytest.raises(Refused) as caught:
        runs(server.target, ca=authority.ca)
    assert caught.value.reason == "UNAUTHENTICATED"


def test_files_that_do_not_fit_together_are_refused_at_the_start(
    tls: dict[str, Any], authority: Authority, tmp_path: Path
) -> None:
    _, other_key = authority.issue("other")
    (tmp_path / "empty").touch()
    for wrong in (
        {"tls_key": other_key},
        {"tls_cert": tmp_path / "empty"},
        {"tls_cert": tmp_path / "missing"},
        {"tls_client_ca": tmp_path / "empty"},
    ):
        with pytest.raises(SettingsError, match="FACNET_TLS_CERT"):
            transport.credentials(AccessSettings(**{**tls, **wrong}), require_client=True)
    for text in ("[", '["CN=x"]\nroles = ["editor"]\n', '["CN=x"]\nowner = "o"\nroles = ["king"]\n', "x = 1\n"):
        (tmp_path / "subjects").write_text(text)
        settings = AccessSettings(**tls, tls_client_ca=authority.ca, mtls_subjects=tmp_path / "subjects")
        with pytest.raises(SettingsError, match="FACNET_MTLS_SUBJECTS"):
            identity.from_settings(settings)
    with pytest.raises(SettingsError, match="FACNET_DEV_TOKENS") as caught:
        identity.from_settings(AccessSettings(dev_tokens="canary"))
    assert "canary" not in str(caught.value)
