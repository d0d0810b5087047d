"""Sends e-mail: that a run has ended and how, in counts. Whoever wants to know more has to identify themselves."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any

from facnet_grpc.model.notification import Notification
from facnet_grpc.model.run import RunStatus
from facnet_grpc.notify.delivery import NotDelivered
from facnet_grpc.settings.notify import NotifySettings
from facnet_grpc.texts.language import Locale
from facnet_grpc.texts.render import error_text, sentence

COUNTS = ("error", "warning", "optimization", "info")
ROWS = (("accepted", "processed_rows"), ("rejected", "rejected_rows"))


class Mails:
    """Sends e-mail as the settings say. Thread-safe: each message has a connection of its own."""

    def __init__(self, settings: NotifySettings) -> None:
        self._settings = settings

    def send(self, one: Notification) -> None:
        """Make one attempt. Raises `NotDelivered` unless the server has taken it for one recipient at least."""
        recipients = self._settings.recipients(one.owner)
        if not recipients:
            raise NotDelivered("nobody", final=True)
        mail = compose(one, recipients, self._settings)
        try:
            with connected(self._settings) as server:
                server.send_message(mail)
        except smtplib.SMTPResponseException as error:
            raise NotDelivered(f"status_{error.smtp_code}") from None
        except (smtplib.SMTPException, OSError, ValueError) as error:  # ValueError: what came is no SMTP
            raise NotDelivered(type(error).__name__) from None


@contextmanager
def connected(settings: NotifySettings) -> Iterator[smtplib.SMTP]:
    """Give a connection that mail can be sent on. Raises `smtplib.SMTPException` or `OSError`."""
    told: dict[str, Any] = {
        "host": settings.smtp_host,
        "port": settings.smtp_port,
        "timeout": settings.smtp_timeout_seconds,
    }
    if settings.smtp_security == "tls":
        server: smtplib.SMTP = smtplib.SMTP_SSL(**told, context=ssl.create_default_context())
    else:
        server = smtplib.SMTP(**told)
    try:
        if settings.smtp_security == "starttls":
            server.starttls(context=ssl.create_default_context())
        if settings.smtp_user:
            server.login(settings.smtp_user, settings.smtp_password.get_secret_value())
        yield server
    finally:
        # What the server has taken it has taken, however it says goodbye.
        with suppress(smtplib.SMTPException, OSError):
            server.quit()
        server.close()


def compose(one: Notification, recipients: Sequence[str], settings: NotifySettings) -> EmailMessage:
    """Return the message, the same for every attempt: its id is made of the notification's."""
    locale = Locale(settings.mail_language)
    mail = EmailMessage()
    mail["Subject"] = sentence(f"mail.{one.status.lower()}.subject", locale)
    mail["From"] = settings.smtp_from
    mail["To"] = ", ".join(recipients)
    mail["Date"] = format_datetime(one.created_at)
    mail["Message-ID"] = f"<{one.id}@{settings.smtp_from.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content("\n".join(_lines(one, locale, settings.mail_link)))
    return mail


def _lines(one: Notification, locale: Locale, link: str) -> Iterator[str]:
    yield sentence(f"mail.{one.status.lower()}.opening", locale, validation_id=str(one.run_id))
    yield ""
    if one.status is RunStatus.COMPLETED:
        yield from _figures(one.data, locale)
        yield ""
    if code := one.data.get("error_code"):
        # Without its parameters: they name columns of the file.
        text = error_text((code, {}), locale)
        yield f"{text.message} {text.cure}"
        yield ""
    if link:
        yield sentence("mail.link", locale, link=link.replace("{validation_id}", str(one.run_id)))
        yield ""
    yield sentence("mail.closing", locale)


def _figures(data: Mapping[str, Any], locale: Locale) -> Iterator[str]:
    found = {name: data[key] for name, key in ROWS} | {name: data["result_counts"][name] for name in COUNTS}
    for name, count in found.items():
        yield f"- {sentence(f'mail.{name}', locale, **{name: count})}"
