"""Where webhooks may go: the attacker's table."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from facnet_grpc.errors import InvalidInput, Reason
from facnet_grpc.notify import url_policy
from facnet_grpc.notify.url_policy import Target
from facnet_grpc.settings.notify import NotifySettings

ALLOWED = (
    "hooks.example.org,other.example.org:8443,any.example.org:*,8.8.8.8,xn--caf-dma.example,localhost:*,127.0.0.1:*,"
    "[::1]:*,10.0.0.1,169.254.169.254:*,[fd00:ec2::254],[::ffff:10.0.0.1],[64:ff9b::a00:1],[2002:a00:1::]"
)


def settings(**changes: object) -> NotifySettings:
    return NotifySettings(**{"webhook_keys": "k" * 32, "webhook_hosts": ALLOWED, **changes})


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://hooks.example.org/a/b?c=d&e=f%20g", ("https", "hooks.example.org", 443, "/a/b?c=d&e=f%20g")),
        ("https://hooks.example.org", ("https", "hooks.example.org", 443, "/")),
        ("https://hooks.example.org:/", ("https", "hooks.example.org", 443, "/")),
        ("HTTPS://Hooks.Example.ORG:443/", ("https", "hooks.example.org", 443, "/")),
        ("https://other.example.org:8443/x", ("https", "other.example.org", 8443, "/x")),
        ("https://any.example.org:1234?x", ("https", "any.example.org", 1234, "/?x")),
        ("https://8.8.8.8/", ("https", "8.8.8.8", 443, "/")),
        ("https://xn--caf-dma.example/", ("https", "xn--caf-dma.example", 443, "/")),
    ],
)
def test_what_is_allowed_is_read(url, target):
    assert url_policy.check(url, settings()) == Target(*target)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        # Not https, or no web address at all.
        ("http://hooks.example.org/", "scheme"),
        ("http://127.0.0.1", "scheme"),
        ("ftp://hooks.example.org/", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("gopher://hooks.example.org/_x", "scheme"),
        ("//hooks.example.org/", "malformed"),
        ("hooks.example.org", "malformed"),
        ("https:hooks.example.org", "malformed"),
        ("https:///hooks.example.org", "malformed"),
        ("", "malformed"),
        # Hosts and ports that nobody allowed.
        ("https://evil.example/", "host"),
        ("https://hooks.example.org.evil.example/", "host"),
        ("https://evilhooks.example.org/", "host"),
        ("https://sub.hooks.example.org/", "host"),
        ("https://hooks.example.org:8443/", "host"),
        ("https://other.example.org/", "host"),
        ("https://hooks.example.org:0/", "host"),
        ("https://hooks.example.org:22/", "host"),
        # Internal addresses, allowed by name or not.
        ("https://127.0.0.1/", "address"),
        ("https://[::1]/", "address"),
        ("https://10.0.0.1/", "address"),
        ("https://169.254.169.254/latest/meta-data/", "address"),
        ("https://[fd00:ec2::254]/", "address"),
        ("https://[::ffff:10.0.0.1]/", "address"),
        ("https://[::ffff:a00:1]/", "host"),
        ("https://[64:ff9b::a00:1]/", "address"),
        ("https://[2002:a00:1::]/", "address"),
        # The same in writings that some programs understand.
        ("https://2130706433/", "malformed"),
        ("https://0x7f000001/", "malformed"),
        ("https://0x7f.0.0.1/", "malformed"),
        ("https://0177.0.0.1/", "malformed"),
        ("https://127.1/", "malformed"),
        ("https://127.0.0.1./", "malformed"),
        ("https://[::1%25lo]/", "malformed"),
        ("https://[::1/", "malformed"),
        # One host for us, another for somebody else.
        ("https://hooks.example.org@evil.example/", "userinfo"),
        ("https://evil.example@hooks.example.org/", "userinfo"),
        ("https://user:secret@hooks.example.org/", "userinfo"),
        ("https://hooks.example.org:443@evil.example/", "userinfo"),
        ("https://hooks.example.org\\@evil.example/", "malformed"),
        ("https://hooks.example.org\\.evil.example/", "malformed"),
        ("https://hooks.example.org#@evil.example/", "malformed"),
        ("https://hooks.example.org/#fragment", "malformed"),
        ("https://hooks.example.org%2eevil.example/", "malformed"),
        ("https://hooks.example.org%00.evil.example/", "malformed"),
        ("https://hooks.example.org./", "malformed"),
        ("https://hooks..example.org/", "malformed"),
        ("https://hooks.example.org:99999/", "malformed"),
        ("https://hooks.example.org:-1/", "malformed"),
        ("https://hooks.example.org:4\u0664\u0663/", "malformed"),
        # Letters that look or fold alike.
        ("https://ho\u043eks.example.org/", "malformed"),
        ("https://hooks\u3002example\u3002org/", "malformed"),
        ("https://\u24d7ooks.example.org/", "malformed"),
        ("https://caf\u00e9.example/", "malformed"),
        ("https://localho\u017ft/", "malformed"),
        # What a header or a log line could be broken with.
        ("https://hooks.example.org/\r\nHost: evil.example", "malformed"),
        ("https://hooks.example.org/\n", "malformed"),
        ("https://hooks.example.org/ x", "malformed"),
        ("\thttps://hooks.example.org/", "malformed"),
        ("https://hooks.example.org/" + "x" * 2048, "malformed"),
    ],
)
def test_what_is_not_allowed_is_refused_with_a_word_about_why(url, problem):
    with pytest.raises(InvalidInput) as refused:
        url_policy.check(url, settings())
    assert (refused.value.reason, refused.value.params["webhook_problem"]) == (Reason.WEBHOOK_REFUSED, problem)
    assert "example" not in str(refused.value)  # the address may hold a secret, and is not told again


def test_without_hosts_there_are_no_webhooks():
    with pytest.raises(InvalidInput) as refused:
        url_policy.check("https://hooks.example.org/", settings(webhook_hosts=""))
    assert refused.value.params["webhook_problem"] == "disabled"


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080/x", "http://[::1]:8080/", "https://localhost/"])
def test_this_machine_is_for_trying_things_out(url):
    assert url_policy.check(url, settings(webhook_loopback=True))


@pytest.mark.parametrize("url", ["http://hooks.example.org/", "http://10.0.0.1/", "http://localhost.example.org/"])
def test_plain_http_goes_nowhere_else(url):
    with pytest.raises(InvalidInput):
        url_policy.check(url, settings(webhook_loopback=True))


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_machines_on_the_internet_are_open(address):
    assert url_policy.is_open(ip_address(address), settings())


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "127.9.9.9",
        "168.63.129.16",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.192",
        "192.168.1.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ],
)
def test_machines_inside_are_not(address):
    assert not url_policy.is_open(ip_address(address), settings())


def test_networks_can_be_opened_one_by_one():
    allowed = settings(webhook_networks="10.20.0.0/16, fd12:3456::/32")
    opened = ["10.20.30.40", "::ffff:10.20.30.40", "fd12:3456::1"]
    assert [url_policy.is_open(ip_address(address), allowed) for address in opened] == [True] * 3
    closed = ["10.21.0.1", "127.0.0.1", "169.254.169.254", "fd13::1"]
    assert [url_policy.is_open(ip_address(address), allowed) for address in closed] == [False] * 4
    assert url_policy.check("https://10.0.0.1/", settings(webhook_networks="10.0.0.0/8")).host == "10.0.0.1"


def test_loopback_alone_opens_no_network():
    allowed = settings(webhook_loopback=True)
    assert url_policy.is_open(ip_address("127.0.0.1"), allowed)
    assert not url_policy.is_open(ip_address("10.0.0.1"), allowed)
