"""The keys that tokens are signed with: read from a JWKS URL, kept, and looked up again when they change.

Nobody can make the server ask the issuer more often than once in `pause_seconds`: neither with key ids that do not
exist nor while the issuer does not answer. Keys that were read once go on working while it is away.
"""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any

import jwt

from facnet_grpc.errors import TransientError
from facnet_grpc.logs import get_logger

log = get_logger(__name__)

ALGORITHMS = ("RS256", "ES256")
FETCH_SECONDS = 5.0
MAX_BYTES = 1 << 20
MIN_RSA_BITS = 2048
_TYPES = {"RS256": "RSA", "ES256": "EC"}

Fetch = Callable[[str], bytes]


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """Follow nobody: a redirect could lead to plain HTTP, or into the network behind the server."""


def fetch(url: str) -> bytes:
    """Return what is at `url`: https, or one of the few others that the settings let pass. Blocks."""
    opener = urllib.request.build_opener(_NoRedirects)
    with opener.open(url, timeout=FETCH_SECONDS) as answer:
        found: bytes = answer.read(MAX_BYTES + 1)
    if len(found) > MAX_BYTES:
        raise ValueError("too large")
    return found


class KeySet:
    """Public keys by id. Lives on the event loop; reading is done in a thread."""

    def __init__(
        self,
        url: str,
        *,
        max_age_seconds: float,
        pause_seconds: float,
        read: Fetch = fetch,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._url = url
        self._max_age = max_age_seconds
        self._pause = pause_seconds
        self._read = read
        self._clock = clock
        self._keys: Mapping[str, jwt.PyJWK] | None = None
        self._read_at = self._tried_at = float("-inf")
        self._reading = asyncio.Lock()

    async def find(self, key_id: str) -> jwt.PyJWK | None:
        """Return the key with this id, None if the issuer has none. Raises `TransientError` if it was never reached."""
        # Whoever has a key goes on with it while somebody else reads them again.
        if self._wants_reading(key_id) and not (self._reading.locked() and self._knows(key_id)):
            async with self._reading:
                if self._wants_reading(key_id):  # nobody else has read them meanwhile
                    await self._refresh()
        if self._keys is None:
            raise TransientError
        return self._keys.get(key_id)

    def _wants_reading(self, key_id: str) -> bool:
        now = self._clock()
        if now - self._tried_at < self._pause:
            return False
        return not self._knows(key_id) or now - self._read_at > self._max_age

    def _knows(self, key_id: str) -> bool:
        return self._keys is not None and key_id in self._keys

    async def _refresh(self) -> None:
        try:
            async with asyncio.timeout(2 * FETCH_SECONDS):  # a slow trickle has no end of its own
                found = await asyncio.to_thread(self._read, self._url)
            self._keys = parse(found)
        except (OSError, ValueError, TimeoutError, urllib.error.URLError) as error:
            log.warning("signing_keys_not_read", kind=type(error).__name__)
            return
        finally:
            self._tried_at = self._clock()
        self._read_at = self._tried_at
        log.info("signing_keys_read", count=len(self._keys))


def parse(document: bytes) -> Mapping[str, jwt.PyJWK]:
    """Return the usable keys of a JWKS document by id: RSA of 2,048 bits or more, and P-256. Raises `ValueError`."""
    told = json.loads(document)
    entries = told.get("keys") if isinstance(told, dict) else None
    if not isinstance(entries, list):
        raise ValueError("no keys")  # noqa: TRY004 - to the caller it is a document that says nothing
    keys = (_key(entry) for entry in entries if isinstance(entry, dict))
    return {key.key_id: key for key in keys if key is not None and key.key_id}


def _key(entry: dict[str, Any]) -> jwt.PyJWK | None:
    """Return a key; None for those of other kinds, which are there for others: symmetric, for encryption, weak."""
    if entry.get("use", "sig") != "sig" or not isinstance(entry.get("kid"), str) or "d" in entry:
        return None
    algorithm = entry.get("alg") or {"RSA": "RS256", "EC": "ES256"}.get(str(entry.get("kty")))
    if algorithm not in ALGORITHMS or entry.get("kty") != _TYPES[algorithm]:
        return None
    try:
        key = jwt.PyJWK.from_dict(entry, algorithm)
    except jwt.PyJWTError:
        return None
    sizes = {"RS256": key.key.key_size >= MIN_RSA_BITS, "ES256": entry.get("crv") == "P-256"}
    return key if sizes[algorithm] else None
