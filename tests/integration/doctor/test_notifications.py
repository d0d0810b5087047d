"""The doctor on webhooks and e-mail."""

from __future__ import annotations

import socket

import pytest
from aiosmtpd.controller import Controller

from facnet_grpc.doctor import notifications
from facnet_grpc.notify.webhook import resolve
from facnet_grpc.settings import Settings

SMTP = {
    "smtp_host": "127.0.0.1",
    "smtp_security": "none",
    "smtp_from": "facnet@example.org",
    "smtp_timeout_seconds": 10,
}


@pytest.fixture
def found(tmp_path):
    def examine(resolve=resolve, **changes):
        needed = {"database_url": "x", "redis_url": "x", "blob_dir": tmp_path, "pseudonym_key": "x" * 32}
        settings = Settings.of(**needed, webhook_keys="k" * 32, **changes)
        findings = notifications.examine(settings.notify, resolve=resolve)
        return {finding.name: (finding.ok, finding.code, finding.value) for finding in findings}

    return examine


def test_nothing_is_wrong_with_what_is_off(found):
    assert found() == {"webhooks": (True, "webhooks_off", ""), "mail": (True, "mail_off", "")}


@pytest.mark.parametrize(
    ("addresses", "finding"),
    [
        (["93.184.215.14"], (True, "webhooks_ok", "hooks.example.org")),
        (["10.0.0.1"], (False, "webhooks_internal", "hooks.example.org")),
        (OSError(), (False, "webhooks_unknown", "hooks.example.org")),
    ],
)
def test_hosts_of_webhooks_are_looked_up(found, addresses, finding):
    def resolve(*_):
        if isinstance(addresses, OSError):
            raise addresses
        return addresses

    assert found(resolve, webhook_hosts="hooks.example.org")["webhooks"] == finding


def test_the_mail_server_is_asked(found):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    smtp = {**SMTP, "smtp_port": port}
    assert found(**smtp)["mail"] == (False, "mail_nobody", "")
    assert found(**smtp, mail_to="*=a@example.org")["mail"] == (False, "mail_away", f"127.0.0.1:{port}")
    controller = Controller(object(), hostname="127.0.0.1", port=port)
    controller.start()
    try:
        assert found(**smtp, mail_to="*=a@example.org")["mail"] == (True, "mail_ok", f"127.0.0.1:{port}")
    finally:
        controller.stop()
