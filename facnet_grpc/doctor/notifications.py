"""Checks of notifications: whether webhook hosts resolve to allowed addresses, and whether the mail server answers."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator

from facnet_grpc.doctor.report import Finding
from facnet_grpc.notify import mail, url_policy
from facnet_grpc.notify.webhook import Resolve, resolve
from facnet_grpc.settings.notify import NotifySettings


def examine(settings: NotifySettings, *, resolve: Resolve = resolve) -> Iterator[Finding]:
    """Check webhooks and e-mail."""
    yield check_webhooks(settings, resolve)
    yield check_mail(settings)


def check_webhooks(settings: NotifySettings, resolve: Resolve) -> Finding:
    """Check that each allowed host resolves, to addresses that are allowed as well."""
    hosts = sorted({allowed.host for allowed in settings.allowed_hosts})
    if not hosts:
        return Finding("webhooks", ok=True, code="webhooks_off")
    for host in hosts:
        try:
            found = resolve(host, url_policy.USUAL_PORTS["https"])
        except (OSError, UnicodeError):
            return Finding("webhooks", ok=False, code="webhooks_unknown", value=host)
        if not url_policy.are_open(found, settings):
            return Finding("webhooks", ok=False, code="webhooks_internal", value=host)
    return Finding("webhooks", ok=True, code="webhooks_ok", value=", ".join(hosts))


def check_mail(settings: NotifySettings) -> Finding:
    """Check that the mail server takes mail from us, without sending any."""
    if not settings.smtp_host:
        return Finding("mail", ok=True, code="mail_off")
    if not settings.mail_to:
        return Finding("mail", ok=False, code="mail_nobody")
    server = f"{settings.smtp_host}:{settings.smtp_port}"
    try:
        with mail.connected(settings) as connection:
            connection.noop()
    except (smtplib.SMTPException, OSError, ValueError):
        return Finding("mail", ok=False, code="mail_away", value=server)
    return Finding("mail", ok=True, code="mail_ok", value=server)
