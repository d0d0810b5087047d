"""Looks for canaries: patients, doctors, amounts and file names that are nobody's: wherever one is seen, it leaked.

What there is to look at is read place by place into a mapping, and `seen` says which canary is where.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psycopg
import redis

NAM, SURNAME, GIVEN, DOCTOR, FILE_NAME = "CANA70612575", "ZQCANARIS", "ZQMELUSINE", "ZQDOCTEUR", "ZQFICHIER"
AMOUNTS = ("48151,62", "48151.62", "4815162")
PATIENT = (NAM, SURNAME, GIVEN)
CANARIES = (*PATIENT, DOCTOR, FILE_NAME, *AMOUNTS)

Places = Mapping[str, bytes]


def seen(places: Places, canaries: tuple[str, ...] = CANARIES) -> list[str]:
    """Return a line for each canary in each place."""
    return [
        f"{canary} is in {place}"
        for place, content in places.items()
        for canary in canaries
        if canary.encode() in content
    ]


def on_disk(root: Path) -> dict[str, bytes]:
    """Every file below a directory, with its name."""
    files = [path for path in root.rglob("*") if path.is_file()]
    return {f"the file {path.relative_to(root)}": path.name.encode() + path.read_bytes() for path in files}


def in_redis(url: str) -> dict[str, bytes]:
    """Every key with all that it holds; those of messages that nobody could do, and of delayed ones, among them."""
    with redis.Redis.from_url(url) as client:
        readers: dict[bytes, Callable[[bytes], Any]] = {
            b"string": client.get,
            b"hash": client.hgetall,
            b"list": lambda key: client.lrange(key, 0, -1),
            b"set": client.smembers,
            b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
            b"stream": client.xrange,
            b"none": lambda _: None,  # gone since it was listed
        }
        return {_redis_place(key): repr((key, readers[client.type(key)](key))).encode() for key in client.scan_iter()}


def _redis_place(key: bytes) -> str:
    name = key.decode(errors="replace")
    kind = "dead letters" if ".XQ" in name else "delayed messages" if ".DQ" in name else "Redis"
    return f"{kind}: {name}"


def in_spans(path: Path) -> dict[str, bytes]:
    """The spans that processes have written to a file, one JSON line each: what they say, aspect by aspect."""
    spans = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    aspects = ("name", "attributes", "events", "status", "links", "resource")
    return {f"spans: {aspect}": json.dumps([span[aspect] for span in spans]).encode() for aspect in aspects} | {
        "spans": path.read_bytes()
    }


def in_postgres(url: str) -> bytes:
    """Every row of every table."""
    with psycopg.connect(url) as conn:
        tables = conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        dump = []
        for (table,) in tables:
            with conn.cursor().copy(f'COPY "{table}" TO STDOUT') as copy:
                dump += [bytes(part) for part in copy]
    return b"".join(dump)
