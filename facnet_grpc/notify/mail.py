"""Sends e-mail about a run that has ended: its state and counts only. Details need an authenticated call."""

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
from facnet_grpc.notify import NotDelivered
from facnet_grpc.settings.notify import NotifySettings
from facnet_grpc.texts.language import Locale
from facnet_grpc.texts.render import error_text, sentence

COUNTS = ("error", "warning", "optimization", "info")
ROWS = (("accepted", "processed_rows"), ("rejected", "rejected_rows"))


class MailSender:
    """Sends e-mail as the settings say. Thread-safe: each message has a connection of its own."""

    def __init__(self, settings: NotifySettings) -> None:
        self._settings = settings

    def send(self, notification: Notification) -> None:
        """Make one attempt. Raises `NotDelivered` unless the server has taken it for one recipient at least."""
        recipients = self._settings.recipients(notification.owner)
        if not recipients:
            raise NotDelivered("nobody", final=True)
        mail = compose(notification, recipients, self._settings)
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
    options: dict[str, Any] = {
        "host": settings.smtp_host,
        "port": settings.smtp_port,
        "timeout": settings.smtp_timeout_seconds,
    }
    if settings.smtp_security == "tls":
        server: smtplib.SMTP = smtplib.SMTP_SSL(**options, context=ssl.create_default_context())
    else:
        server = smtplib.SMTP(**options)
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


def compose(notification: Notification, recipients: Sequence[str], settings: NotifySettings) -> EmailMessage:
    """Return the message, the same for every attempt: its id is made of the notification's."""
    locale = Locale(settings.mail_language)
    mail = EmailMessage()
    mail["Subject"] = sentence(f"mail.{notification.status.lower()}.subject", locale)
    mail["From"] = settings.smtp_from
    mail["To"] = ", ".join(recipients)
    mail["Date"] = format_datetime(notification.created_at)
    mail["Message-ID"] = f"<{notification.id}@{settings.smtp_from.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content("\n".join(_lines(notification, locale, settings.mail_link)))
    return mail


def _lines(notification: Notification, locale: Locale, link: str) -> Iterator[str]:
    yield sentence(f"mail.{notification.status.lower()}.opening", locale, validation_id=str(notification.run_id))
    yield ""
    if notification.status is RunStatus.COMPLETED:
        yield from _figures(notification.data, locale)
        yield ""
    if code := notification.data.get("error_code"):
        # Without its parameters: they name columns of the file.
        text = error_text((code, {}), locale)
        yield f"{text.message} {text.cure}"
        yield ""
    if link:
        yield sentence("mail.link", locale, link=link.replace("{validation_id}", str(notification.run_id)))
        yield ""
    yield sentence("mail.closing", locale)


def _figures(data: Mapping[str, Any], locale: Locale) -> Iterator[str]:
    counts = {name: data[key] for name, key in ROWS} | {name: data["result_counts"][name] for name in COUNTS}
    for name, count in counts.items():
        yield f"- {sentence(f'mail.{name}', locale, **{name: count})}"
