"""One attempt at an e-mail, with a real SMTP server."""

from __future__ import annotations

import email.policy
import socket

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from receivers import certificate

from facnet_grpc.notify import NotDelivered
from facnet_grpc.notify.mail import MailSender
from facnet_grpc.settings.notify import NotifySettings

USER, PASSWORD = "facnet", "a password that is not logged"


class Mailbox:
    """Keeps what arrives, unless it is told to answer otherwise."""

    def __init__(self) -> None:
        self.arrived = []
        self.refused = set()
        self.answer = "250 OK"
        self.goodbye = "221 Bye"

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802 - named by the library
        if address in self.refused:
            return "550 nobody here by that name"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 - named by the library
        if self.answer.startswith("250"):
            self.arrived.append(envelope)
        return self.answer

    async def handle_QUIT(self, server, session, envelope):  # noqa: N802 - named by the library
        return self.goodbye

    @property
    def mails(self):
        return [email.message_from_bytes(one.content, policy=email.policy.default) for one in self.arrived]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def mailbox():
    return Mailbox()


@pytest.fixture
def serve(mailbox):
    """Starts a mail server; returns the settings for it."""
    running = []

    def start(**options):
        controller = Controller(mailbox, hostname="127.0.0.1", port=free_port(), **options)
        controller.start()
        running.append(controller)

        def settings(**changes):
            usual = {
                "smtp_host": "127.0.0.1",
                "smtp_port": controller.port,
                "smtp_security": "none",
                "smtp_from": "facnet@example.org",
                "smtp_timeout_seconds": 10,
                "mail_to": "local=a@example.org b@example.org",
            }
            return NotifySettings(**usual | changes)

        return settings

    yield start
    for controller in running:
        controller.stop()


def attempt(notification, settings, **changes):
    try:
        MailSender(settings).send(notification(**changes))
    except NotDelivered as error:
        return error.problem, error.final
    return None


def test_a_message_arrives(serve, mailbox, notification):
    assert attempt(notification, serve()()) is None
    (envelope,) = mailbox.arrived
    (mail,) = mailbox.mails
    assert (envelope.mail_from, envelope.rcpt_tos) == ("facnet@example.org", ["a@example.org", "b@example.org"])
    assert (mail["Subject"], mail["To"]) == ("Validation annulée", "a@example.org, b@example.org")
    assert "a été annulée" in mail.get_content()


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_it_goes_encrypted_and_identified(serve, mailbox, notification, tmp_path, monkeypatch, security):
    context, trusted = certificate(tmp_path / "tls", "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    seen = []

    def authenticate(server, session, envelope, mechanism, data):
        seen.append((data.login.decode(), data.password.decode()))
        return AuthResult(success=True)

    way = {"tls_context": context, "require_starttls": True} if security == "starttls" else {"ssl_context": context}
    settings = serve(authenticator=authenticate, auth_require_tls=security == "starttls", **way)
    told = settings(smtp_security=security, smtp_user=USER, smtp_password=PASSWORD)
    assert attempt(notification, told) is None
    assert seen == [(USER, PASSWORD)]
    assert len(mailbox.arrived) == 1


def test_a_server_that_cannot_encrypt_gets_neither_password_nor_mail(serve, mailbox, notification):
    told = serve()(smtp_security="starttls", smtp_user=USER, smtp_password=PASSWORD)
    assert attempt(notification, told) == ("SMTPNotSupportedError", False)
    assert mailbox.arrived == []


def test_a_server_that_nobody_vouches_for_gets_neither(serve, mailbox, notification, tmp_path):
    context, _ = certificate(tmp_path / "tls", "127.0.0.1")
    told = serve(tls_context=context)(smtp_security="starttls", smtp_user=USER, smtp_password=PASSWORD)
    assert attempt(notification, told) == ("SSLCertVerificationError", False)
    assert mailbox.arrived == []


@pytest.mark.parametrize(
    ("answer", "problem"), [("451 later", ("status_451", False)), ("554 no", ("status_554", False))]
)
def test_a_server_that_will_not_is_asked_again(serve, mailbox, notification, answer, problem):
    mailbox.answer = answer
    assert attempt(notification, serve()()) == problem


def test_a_rude_goodbye_does_not_send_it_again(serve, mailbox, notification):
    mailbox.goodbye = "500 what?"
    assert attempt(notification, serve()()) is None
    assert len(mailbox.arrived) == 1


def test_one_recipient_who_is_not_there_takes_nothing_from_the_other(serve, mailbox, notification):
    mailbox.refused = {"a@example.org"}
    assert attempt(notification, serve()()) is None
    assert mailbox.arrived[0].rcpt_tos == ["b@example.org"]
    mailbox.refused = {"a@example.org", "b@example.org"}
    assert attempt(notification, serve()()) == ("SMTPRecipientsRefused", False)


def test_nobody_there_is_a_passing_trouble(notification):
    told = NotifySettings(
        smtp_host="127.0.0.1", smtp_port=free_port(), smtp_from="f@example.org", mail_to="*=a@example.org"
    )
    assert attempt(notification, told) == ("ConnectionRefusedError", False)


def test_an_owner_whom_nobody_listens_to_any_more_is_given_up(serve, notification):
    assert attempt(notification, serve()(), owner="other") == ("nobody", True)
