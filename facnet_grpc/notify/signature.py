"""What shows a receiver that a webhook is ours: HMAC-SHA-256 over the time and the body, by every key that is valid."""

from __future__ import annotations

import hashlib
import hmac

from facnet_grpc.keys import Key, Keys

HEADER = "Facnet-Signature"


def header(keys: Keys, timestamp: int, body: bytes) -> str:
    """Return `t=<Unix time>,<key id>=<hexadecimal digits>,…`, the current key first.

    While a key is being changed there are two: a receiver takes the one that it knows.
    """
    return ",".join([f"t={timestamp}", *(f"{key.id}={_digest(key, timestamp, body)}" for key in keys.all)])


def _digest(key: Key, timestamp: int, body: bytes) -> str:
    return hmac.new(key.secret, b"%d.%s" % (timestamp, body), hashlib.sha256).hexdigest()
