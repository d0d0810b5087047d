"""One attempt at a webhook, against receivers and names that mean no good."""

from __future__ import annotations

import time

import pytest
from receivers import CANARY, certificate, hook_server

from facnet_grpc.notify import NotDelivered, webhook
from facnet_grpc.notify.webhook import WebhookSender
from facnet_grpc.settings.notify import NotifySettings

KEYS = f"k2:{'n' * 32},k1:{'o' * 32}"


def settings(port, **changes):
    usual = {
        "webhook_keys": KEYS,
        "webhook_hosts": f"127.0.0.1:{port},localhost:{port},hooks.example.org:{port}",
        "webhook_loopback": True,
    }
    return NotifySettings(**usual | changes)


def attempt(notification, url, told, **more):
    """Make an attempt; return what went wrong, and whether for good."""
    try:
        WebhookSender(told, **more).send(notification(url))
    except NotDelivered as error:
        return error.problem.replace(CANARY, "a word of the receiver's"), error.final
    return None


def test_a_receiver_gets_a_signed_event(hooks, notification):
    one = notification(f"http://127.0.0.1:{hooks.port}/a/b?c=d")
    WebhookSender(settings(hooks.port)).send(one)
    (got,) = hooks.received
    assert (got.method, got.path) == ("POST", "/a/b?c=d")
    assert got.headers["Content-Type"] == "application/cloudevents+json"
    assert got.headers["Host"] == f"127.0.0.1:{hooks.port}"
    assert got.headers["User-Agent"].startswith("facnet/")
    assert (got.event["id"], got.event["subject"]) == (str(one.id), str(one.run_id))
    stamp, *signatures = got.headers["Facnet-Signature"].split(",")
    assert abs(int(stamp.removeprefix("t=")) - time.time()) < 60
    assert [part.partition("=")[0] for part in signatures] == ["k2", "k1"]


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_any_2xx_will_do(hooks, notification, status):
    hooks.answers = [status]
    assert attempt(notification, f"http://127.0.0.1:{hooks.port}/", settings(hooks.port)) is None


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (500, ("status_500", False)),
        (404, ("status_404", False)),
        (429, ("status_429", False)),
        (304, ("status_304", False)),
        (410, ("status_410", True)),
    ],
)
def test_anything_else_will_not(hooks, notification, answer, problem):
    hooks.answers = [answer]
    assert attempt(notification, f"http://127.0.0.1:{hooks.port}/", settings(hooks.port)) == problem


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("where", ["http://169.254.169.254/latest/meta-data/", "http://127.0.0.1:{port}/again"])
def test_nobody_is_sent_elsewhere(hooks, notification, status, where):
    location = where.format(port=hooks.port)
    hooks.answers = [lambda handler: hooks.answer(handler, status, Location=location)]
    told = attempt(notification, f"http://127.0.0.1:{hooks.port}/", settings(hooks.port))
    assert told == (f"status_{status}", False)
    assert len(hooks.received) == 1


@pytest.mark.parametrize("how", ["never", "trickle", "rubbish", "hang_up"])
def test_a_receiver_that_does_not_answer_is_left_in_time(hooks, notification, how):
    hooks.answers = [getattr(hooks, how)]
    began = time.monotonic()
    told = settings(hooks.port, webhook_timeout_seconds=0.3)
    problem, final = attempt(notification, f"http://127.0.0.1:{hooks.port}/", told)
    assert time.monotonic() - began < 9  # by itself, the receiver would let go after ten
    assert problem.isidentifier()
    assert not final
    assert len(hooks.received) == 1


def test_nobody_there_is_a_passing_trouble(hooks, notification):
    port = hooks.port
    hooks.close()
    problem, final = attempt(notification, f"http://127.0.0.1:{port}/", settings(port))
    assert (problem, final) == ("NewConnectionError", False)


def test_proxies_of_the_environment_are_not_asked(hooks, notification, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert attempt(notification, f"http://127.0.0.1:{hooks.port}/", settings(hooks.port)) is None
    assert hooks.received[0].path == "/"


def test_what_is_not_allowed_any_more_is_given_up(hooks, notification):
    url = f"http://127.0.0.1:{hooks.port}/"
    assert attempt(notification, url, settings(hooks.port, webhook_hosts="")) == ("not_allowed_disabled", True)
    assert attempt(notification, url, settings(1)) == ("not_allowed_host", True)
    assert attempt(notification, url, settings(hooks.port, webhook_hosts="", webhook_keys=None)) == (
        "not_allowed_disabled",
        True,
    )
    assert hooks.received == []


@pytest.mark.parametrize(
    "addresses",
    [
        ["10.0.0.7"],
        ["127.0.0.1"],
        ["169.254.169.254"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["fe80::1%lo"],
        ["8.8.8.8", "127.0.0.1"],  # one good address does not make up for a bad one
        ["127.0.0.1", "8.8.8.8"],
    ],
)
def test_a_name_that_leads_inside_is_not_gone_to(hooks, notification, addresses):
    told = attempt(
        notification,
        f"https://hooks.example.org:{hooks.port}/",
        settings(hooks.port, webhook_loopback=False),
        resolve=lambda *_: addresses,
    )
    assert told == ("internal_address", False)
    assert hooks.received == []


@pytest.mark.parametrize("error", [OSError(), UnicodeError()])
def test_a_name_that_leads_nowhere(notification, error):
    def resolve(*_):
        raise error

    told = attempt(notification, "https://hooks.example.org:1/", settings(1), resolve=resolve)
    assert told == ("not_resolved", False)
    assert attempt(notification, "https://hooks.example.org:1/", settings(1), resolve=lambda *_: []) == (
        "no_address",
        False,
    )


@pytest.fixture
def secure(tmp_path, monkeypatch):
    """A receiver with a certificate for hooks.example.org, which this process trusts."""
    context, trusted = certificate(tmp_path / "tls", "hooks.example.org")
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    with hook_server(context) as server:
        yield server


def test_a_name_is_looked_up_once_and_tls_speaks_of_the_name(secure, notification):
    asked = []

    def resolve(host, port):
        asked.append((host, port))
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    url = f"https://hooks.example.org:{secure.port}/x"
    assert attempt(notification, url, settings(secure.port), resolve=resolve) is None
    assert asked == [("hooks.example.org", secure.port)]
    assert secure.received[0].headers["Host"] == f"hooks.example.org:{secure.port}"


def test_the_next_address_is_tried_if_one_does_not_answer(secure, notification):
    url = f"https://hooks.example.org:{secure.port}/x"
    found = ["127.0.0.9", "127.0.0.1"]  # the receiver listens on the second one only
    assert attempt(notification, url, settings(secure.port), resolve=lambda *_: found) is None


def test_a_certificate_for_another_name_is_not_taken(secure, notification):
    url = f"https://localhost:{secure.port}/x"
    told = attempt(notification, url, settings(secure.port), resolve=lambda *_: ["127.0.0.1"])
    assert told is not None
    assert not told[1]
    assert secure.received == []


def test_a_certificate_that_nobody_vouches_for_is_not_taken(tmp_path, notification):
    context, _ = certificate(tmp_path / "tls", "hooks.example.org")
    with hook_server(context) as server:
        url = f"https://hooks.example.org:{server.port}/x"
        told = attempt(notification, url, settings(server.port), resolve=lambda *_: ["127.0.0.1"])
        assert told is not None
        assert server.received == []


def test_real_names_are_resolved():
    assert "127.0.0.1" in webhook.resolve("localhost", 443)
