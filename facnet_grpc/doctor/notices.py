"""What the doctor looks at of notifications: whether webhooks may go somewhere, and whether the mail server answers."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator, Mapping

from facnet_grpc.doctor.finding import Finding
from facnet_grpc.notify import mail, url_policy, webhook
from facnet_grpc.settings.notify import NotifySettings

NAMES: Mapping[str, Mapping[str, str]] = {
    "fr": {"webhooks": "Webhooks", "mail": "Courriel"},
    "en": {"webhooks": "Webhooks", "mail": "E-mail"},
}
TEXTS: Mapping[str, Mapping[str, str]] = {
    "fr": {
        "webhooks_off": "aucun hôte permis",
        "webhooks_ok": "permis vers {value}",
        "webhooks_unknown": "{value} ne mène nulle part. Vérifiez FACNET_WEBHOOK_HOSTS et le DNS.",
        "webhooks_internal": "{value} mène dans un réseau interne. Ajoutez ce réseau à FACNET_WEBHOOK_NETWORKS, ou "
        "retirez l'hôte.",
        "mail_off": "aucun serveur de courriel",
        "mail_ok": "{value} répond",
        "mail_nobody": "personne ne reçoit de courriel. Définissez FACNET_MAIL_TO.",
        "mail_away": "{value} ne répond pas ou refuse. Vérifiez FACNET_SMTP_HOST, FACNET_SMTP_PORT, "
        "FACNET_SMTP_SECURITY, FACNET_SMTP_USER et FACNET_SMTP_PASSWORD.",
    },
    "en": {
        "webhooks_off": "no host is allowed",
        "webhooks_ok": "allowed to {value}",
        "webhooks_unknown": "{value} leads nowhere. Check FACNET_WEBHOOK_HOSTS and the DNS.",
        "webhooks_internal": "{value} leads into an internal network. Add that network to FACNET_WEBHOOK_NETWORKS, or "
        "take the host away.",
        "mail_off": "no mail server",
        "mail_ok": "{value} answers",
        "mail_nobody": "nobody gets e-mail. Set FACNET_MAIL_TO.",
        "mail_away": "{value} does not answer, or refuses. Check FACNET_SMTP_HOST, FACNET_SMTP_PORT, "
        "FACNET_SMTP_SECURITY, FACNET_SMTP_USER and FACNET_SMTP_PASSWORD.",
    },
}


def examine(settings: NotifySettings) -> Iterator[Finding]:
    """Yield what each check finds."""
    yield check_webhooks(settings)
    yield check_mail(settings)


def check_webhooks(settings: NotifySettings) -> Finding:
    """Check that each host that webhooks may go to is there, and may be gone to."""
    hosts = sorted({allowed.host for allowed in settings.allowed_hosts})
    if not hosts:
        return Finding("webhooks", ok=True, code="webhooks_off")
    for host in hosts:
        try:
            found = webhook.resolve(host, url_policy.USUAL_PORTS["https"])
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
