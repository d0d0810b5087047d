"""The issuer's signing keys: fetched from a JWKS URL, cached, and fetched again when they are old or a key is unknown.

The issuer is asked at most once in `pause_seconds`, also for unknown key ids and while it does not answer. Cached keys
stay valid while it is down. `jwt.PyJWKClient` does neither: its cooldown starts only after a successful fetch, an
expired cache raises an error, and it reads a response of any size.
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
_KEY_TYPES = {"RS256": "RSA", "ES256": "EC"}

Fetch = Callable[[str], bytes]


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """Follow no redirect: it could lead to plain HTTP, or into the internal network."""


def fetch(url: str) -> bytes:
    """Return the body at `url`, at most `MAX_BYTES`. Blocks. Raises `OSError`, `ValueError`."""
    opener = urllib.request.build_opener(_NoRedirects)
    with opener.open(url, timeout=FETCH_SECONDS) as answer:
        found: bytes = answer.read(MAX_BYTES + 1)
    if len(found) > MAX_BYTES:
        raise ValueError("too large")
    return found


class KeySet:
    """Public keys by id. Used on the event loop; a thread fetches."""

    def __init__(
        self,
        url: str,
        *,
        max_age_seconds: float,
        pause_seconds: float,
        fetch: Fetch = fetch,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._url = url
        self._max_age = max_age_seconds
        self._pause = pause_seconds
        self._fetch = fetch
        self._clock = clock
        self._keys: Mapping[str, jwt.PyJWK] | None = None
        self._fetched_at = self._tried_at = float("-inf")
        self._fetching = asyncio.Lock()

    async def find(self, key_id: str) -> jwt.PyJWK | None:
        """Return the key with this id, None if the issuer has none. Raises `TransientError` if it was never reached."""
        # Callers with a cached key do not wait while another call fetches.
        if self._is_due(key_id) and not (self._fetching.locked() and self._has(key_id)):
            async with self._fetching:
                if self._is_due(key_id):  # another call may have fetched meanwhile
                    await self._refresh()
        if self._keys is None:
            raise TransientError
        return self._keys.get(key_id)

    def _is_due(self, key_id: str) -> bool:
        now = self._clock()
        if now - self._tried_at < self._pause:
            return False
        return not self._has(key_id) or now - self._fetched_at > self._max_age

    def _has(self, key_id: str) -> bool:
        return self._keys is not None and key_id in self._keys

    async def _refresh(self) -> None:
        try:
            async with asyncio.timeout(2 * FETCH_SECONDS):  # the timeout of `fetch` is per read
                document = await asyncio.to_thread(self._fetch, self._url)
            self._keys = parse(document)
        except (OSError, ValueError, TimeoutError, urllib.error.URLError) as error:
            log.warning("signing_keys_not_read", kind=type(error).__name__)
            return
        finally:
            self._tried_at = self._clock()
        self._fetched_at = self._tried_at
        log.info("signing_keys_read", count=len(self._keys))


def parse(document: bytes) -> Mapping[str, jwt.PyJWK]:
    """Return the usable keys of a JWKS document by id: RSA of 2,048 bits or more, and P-256. Raises `ValueError`."""
    content = json.loads(document)
    entries = content.get("keys") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise ValueError("no keys")  # noqa: TRY004 - callers handle one kind of bad document
    keys = (_key(entry) for entry in entries if isinstance(entry, dict))
    return {key.key_id: key for key in keys if key is not None and key.key_id}


def _key(entry: dict[str, Any]) -> jwt.PyJWK | None:
    """Return a key; None for kinds that are not accepted: symmetric, for encryption, weak."""
    if entry.get("use", "sig") != "sig" or not isinstance(entry.get("kid"), str) or "d" in entry:
        return None
    algorithm = entry.get("alg") or {"RSA": "RS256", "EC": "ES256"}.get(str(entry.get("kty")))
    if algorithm not in ALGORITHMS or entry.get("kty") != _KEY_TYPES[algorithm]:
        return None
    try:
        key = jwt.PyJWK.from_dict(entry, algorithm)
    except jwt.PyJWTError:
        return None
    sizes = {"RS256": key.key.key_size >= MIN_RSA_BITS, "ES256": entry.get("crv") == "P-256"}
    return key if sizes[algorithm] else None
