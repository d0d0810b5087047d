"""What can be told of notifications, and what is refused at the start instead of at night."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from facnet_grpc.settings.notify import AllowedHost, NotifySettings

KEY = {"webhook_keys": "k" * 32}
SMTP = {"smtp_host": "smtp.example.org", "smtp_from": "facnet@example.org"}


def test_both_are_off_by_default():
    settings = NotifySettings()
    assert settings.allowed_hosts == frozenset()
    assert settings.signing_keys is None
    assert NotifySettings(webhook_keys="").signing_keys is None  # as a compose file says nothing
    assert settings.recipients("anybody") == ()


def test_hosts_have_the_port_of_https_unless_they_say_otherwise():
    settings = NotifySettings(**KEY, webhook_hosts="A.example.org, b.example.org:8443,[::1]:*")
    assert settings.allowed_hosts == {
        AllowedHost("a.example.org", 443),
        AllowedHost("b.example.org", 8443),
        AllowedHost("::1", None),
    }


def test_recipients_go_by_owner():
    settings = NotifySettings(**SMTP, mail_to="a=x@example.org y@example.org, urn:b=z@example.org ,*=ops@example.org")
    assert settings.recipients("a") == ("x@example.org", "y@example.org")
    assert settings.recipients("urn:b") == ("z@example.org",)
    assert settings.recipients("c") == ("ops@example.org",)
    assert NotifySettings(**SMTP, mail_to="a=x@example.org").recipients("c") == ()


@pytest.mark.parametrize(
    "wrong",
    [
        {"webhook_hosts": "hooks.example.org"},  # nothing to sign with
        {"webhook_keys": "short"},
        {"webhook_keys": f"t:{'k' * 32}"},
        {**KEY, "webhook_hosts": "https://hooks.example.org"},
        {**KEY, "webhook_hosts": "café.example"},
        {**KEY, "webhook_hosts": "*.example.org"},
        {"webhook_networks": "10.0.0.1/8"},
        {"webhook_networks": "everything"},
        {"mail_to": "*=x@example.org"},  # nobody to take it
        {"smtp_host": "smtp.example.org"},
        {**SMTP, "smtp_from": "facnet"},
        {**SMTP, "smtp_from": "facnet@example.org\nBcc: x@example.org"},
        {**SMTP, "mail_to": "x@example.org"},
        {**SMTP, "mail_to": "a="},
        {**SMTP, "mail_to": "a=x@example.org y"},
        {**SMTP, "smtp_security": "none", "smtp_password": "secret"},
        {**SMTP, "mail_link": "https://example.org/"},
        {**SMTP, "mail_link": "javascript:{validation_id}"},
        {"webhook_timeout_seconds": 3600},
    ],
    ids=str,
)
def test_what_cannot_work_is_refused_at_the_start(wrong):
    with pytest.raises(ValidationError):
        NotifySettings(**wrong)
