"""Which URLs callers may name for webhooks, and which IP addresses may be connected to.

The URL is checked when it is named, the IP addresses whenever something is sent. A name is resolved, checked and
connected to in one step (see `webhook`), so that the answer cannot change in between.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import NamedTuple, Never
from urllib.parse import urlsplit

from facnet_grpc.errors import InvalidInput, Reason
from facnet_grpc.settings.environment import is_loopback
from facnet_grpc.settings.notify import HTTPS_PORT, AllowedHost, NotifySettings

FIELD = "header.webhook_url"
MAX_URL = 2048
USUAL_PORTS = {"https": HTTPS_PORT, "http": 80}
# What a URL is made of; everything else (blanks, controls, backslashes, letters beyond ASCII) has to be escaped, and is
# read in different ways by different programs if it is not.
_URL = re.compile(r"[a-z]+://[A-Za-z0-9._~:/?\[\]@!$&'()*+,;=%-]+", re.IGNORECASE)
_NAME = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?\.)*[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NAT64 = IPv6Network("64:ff9b::/96")
_UNICAST = IPv6Network("2000::/3")
# Not of the Internet, though Python's lists say so: for protocols, and where a cloud answers questions about machines.
_SPECIAL = (IPv4Network("192.0.0.0/24"), IPv4Network("168.63.129.16/32"))

Address = IPv4Address | IPv6Address


class Target(NamedTuple):
    """A parsed webhook URL."""

    scheme: str
    host: str  # a name, or an IP address without brackets
    port: int
    path: str  # with the query

    @property
    def netloc(self) -> str:
        """The host and the port as a Host header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == USUAL_PORTS[self.scheme] else f"{host}:{self.port}"


def check(url: str, settings: NotifySettings) -> Target:
    """Parse a URL. Raises `InvalidInput` (WEBHOOK_REFUSED) unless the operator allows it."""
    target = _parse(url)
    if not settings.allowed_hosts:
        _refuse("disabled")
    if not (target.scheme == "https" or (settings.webhook_loopback and is_loopback(target.host))):
        _refuse("scheme")
    allowed = {AllowedHost(target.host, target.port), AllowedHost(target.host, None)}
    if not allowed & settings.allowed_hosts:
        _refuse("host")
    literal = _literal(target.host)
    if literal is not None and not is_open(literal, settings):
        _refuse("address")
    return target


def is_open(address: Address, settings: NotifySettings) -> bool:
    """Whether an address may be connected to: it is public, or in a network that is allowed."""
    inner = _embedded(address)
    if inner is not None:
        return is_open(inner, settings)
    if any(address.version == network.version and address in network for network in settings.allowed_networks):
        return True
    if address.is_loopback:
        return settings.webhook_loopback
    # `is_global` is also said of groups of machines, and of addresses that nobody has.
    if not address.is_global or address.is_multicast:
        return False
    if isinstance(address, IPv6Address):
        return address in _UNICAST
    return not any(address in network for network in _SPECIAL)


def are_open(addresses: Iterable[str], settings: NotifySettings) -> bool:
    """Whether all addresses of a name may be connected to."""
    return all(is_open(ip_address(address.partition("%")[0]), settings) for address in addresses)


def _parse(url: str) -> Target:
    if len(url) > MAX_URL or not _URL.fullmatch(url):
        _refuse("malformed")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        _refuse("malformed")
    if parts.scheme not in USUAL_PORTS:
        _refuse("scheme")
    if "@" in parts.netloc:
        _refuse("userinfo")
    host = parts.hostname or ""
    if _literal(host) is None and not _NAME.fullmatch(host):
        _refuse("malformed")  # such as 2130706433 or 0x7f.1, which some programs take for 127.0.0.1
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, USUAL_PORTS[parts.scheme] if port is None else port, path)


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host) if "%" not in host else None  # which would name a network card
    except ValueError:
        return None


def _embedded(address: Address) -> IPv4Address | None:
    """Return the IPv4 address that an IPv6 one leads to by translation."""
    if isinstance(address, IPv4Address):
        return None
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour


def _refuse(problem: str) -> Never:
    raise InvalidInput(Reason.WEBHOOK_REFUSED, field=FIELD, webhook_problem=problem)
