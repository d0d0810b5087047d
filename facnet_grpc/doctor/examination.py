"""Checks that everything the service needs is there and fit for it: one line each, with the cure."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, Mapping

import redis

from facnet_grpc.devstack.probe import is_serving
from facnet_grpc.doctor import access, notices, operations
from facnet_grpc.doctor.finding import Finding
from facnet_grpc.errors import FacnetError
from facnet_grpc.events.stream import connect
from facnet_grpc.settings import Settings
from facnet_grpc.storage.blobs.local import LocalBlobStore
from facnet_grpc.storage.postgres.database import KeylessDatabase
from facnet_grpc.storage.postgres.migrate import pending

MIN_POSTGRES = 150000  # as PostgreSQL counts: 15.0
MIN_REDIS = (7, 0)
CONNECT_SECONDS = 3.0


_TEXTS: Mapping[str, Mapping[str, str]] = {
    "fr": {
        "postgres_ok": "version {value}, schéma à jour",
        "postgres_away": "ne répond pas. Vérifiez DATABASE_URL et que PostgreSQL est démarré.",
        "postgres_old": "version {value}. Il faut PostgreSQL 15 ou plus récent.",
        "postgres_pending": "le schéma n'est pas à jour ({value}). Lancez « facnet migrate ».",
        "redis_ok": "version {value}, noeviction",
        "redis_away": "ne répond pas. Vérifiez REDIS_URL et que Redis est démarré.",
        "redis_refuses": "répond, mais refuse d'écrire. Vérifiez les droits et la mémoire de Redis.",
        "redis_old": "version {value}. Il faut Redis 7 ou Valkey.",
        "redis_evicts": "maxmemory-policy est {value}. Mettez noeviction : une file d'attente ne doit rien oublier.",
        "blobs_ok": "{value} : écriture, lecture, suppression",
        "blobs_fail": "{value} ne peut pas être utilisé. Vérifiez FACNET_BLOB_DIR, ses droits et l'espace disque.",
        "server_ok": "répond à {value}",
        "server_away": "ne répond pas à {value}. Lancez « facnet serve », ou vérifiez FACNET_SERVER.",
    },
    "en": {
        "postgres_ok": "version {value}, schema up to date",
        "postgres_away": "does not answer. Check DATABASE_URL, and that PostgreSQL is running.",
        "postgres_old": "version {value}. PostgreSQL 15 or newer is needed.",
        "postgres_pending": "the schema is not up to date ({value}). Run “facnet migrate”.",
        "redis_ok": "version {value}, noeviction",
        "redis_away": "does not answer. Check REDIS_URL, and that Redis is running.",
        "redis_refuses": "answers, but refuses to write. Check the rights and the memory of Redis.",
        "redis_old": "version {value}. Redis 7 or Valkey is needed.",
        "redis_evicts": "maxmemory-policy is {value}. Set noeviction: a queue must not forget.",
        "blobs_ok": "{value}: write, read, delete",
        "blobs_fail": "{value} cannot be used. Check FACNET_BLOB_DIR, its rights and the space on the disk.",
        "server_ok": "answers at {value}",
        "server_away": "does not answer at {value}. Run “facnet serve”, or check FACNET_SERVER.",
    },
}


_PARTS = (access, operations, notices)

_NAMES: Mapping[str, Mapping[str, str]] = {
    "fr": {"postgres": "PostgreSQL", "redis": "Redis", "blobs": "Fichiers", "server": "Serveur"},
    "en": {"postgres": "PostgreSQL", "redis": "Redis", "blobs": "Files", "server": "Server"},
}

NAMES = {
    language: {**names, **{name: text for part in _PARTS for name, text in part.NAMES[language].items()}}
    for language, names in _NAMES.items()
}
TEXTS = {
    language: {**texts, **{code: text for part in _PARTS for code, text in part.TEXTS[language].items()}}
    for language, texts in _TEXTS.items()
}


def examine(settings: Settings, server: str | None = None) -> Iterator[Finding]:
    """Yield what each check finds; `server` is where to look for one instead of the address in the settings."""
    yield check_postgres(settings)
    yield check_redis(settings)
    yield check_blobs(settings)
    yield from access.examine(settings.access)
    yield from operations.examine(settings.storage)
    yield from notices.examine(settings.notify)
    target = server or settings.access.listen
    answers = is_serving(target)
    yield Finding("server", answers, "server_ok" if answers else "server_away", target)


def check_postgres(settings: Settings) -> Finding:
    """Check that PostgreSQL answers, is new enough, and has the present schema."""
    url = settings.storage.database_url.get_secret_value()
    try:
        with KeylessDatabase(url, max_connections=1, application_name="facnet-doctor") as database:
            version = database.ping(timeout=CONNECT_SECONDS)
        missing = pending(url)
    except FacnetError:
        return Finding("postgres", ok=False, code="postgres_away")
    spoken = f"{version // 10000}.{version % 10000}"
    if version < MIN_POSTGRES:
        return Finding("postgres", ok=False, code="postgres_old", value=spoken)
    if missing:
        return Finding("postgres", ok=False, code="postgres_pending", value=", ".join(missing))
    return Finding("postgres", ok=True, code="postgres_ok", value=spoken)


def check_redis(settings: Settings) -> Finding:
    """Check that Redis answers, takes a key and gives it back, is new enough, and forgets nothing."""
    try:
        with connect(settings.storage.redis_url.get_secret_value()) as client:
            client.ping()
            return _examine_redis(client)
    except (redis.ConnectionError, redis.TimeoutError):
        return Finding("redis", ok=False, code="redis_away")
    except redis.RedisError:
        return Finding("redis", ok=False, code="redis_refuses")


def _examine_redis(client: redis.Redis) -> Finding:
    key, said = f"facnet:doctor:{secrets.token_hex(8)}", b"check"
    client.set(key, said, ex=10)
    if client.getdel(key) != said:
        return Finding("redis", ok=False, code="redis_refuses")
    info: dict[str, object] = client.info()
    version = str(info.get("redis_version", ""))
    if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < MIN_REDIS:
        return Finding("redis", ok=False, code="redis_old", value=version)
    policy = str(info.get("maxmemory_policy", ""))
    if policy != "noeviction":
        return Finding("redis", ok=False, code="redis_evicts", value=policy)
    return Finding("redis", ok=True, code="redis_ok", value=version)


def check_blobs(settings: Settings) -> Finding:
    """Check that a file can be stored, read and deleted."""
    try:
        LocalBlobStore(settings.storage.blob_dir).check()
    except FacnetError:
        return Finding("blobs", ok=False, code="blobs_fail", value=str(settings.storage.blob_dir))
    return Finding("blobs", ok=True, code="blobs_ok", value=str(settings.storage.blob_dir))


def report(
    findings: Iterator[Finding],
    write: Callable[[str], object],
    *,
    language: str,
    as_json: bool,
) -> bool:
    """Write what was found, as it is found; return whether all is well."""
    texts, names = TEXTS[language], NAMES[language]
    healthy = True
    for finding in findings:
        healthy &= finding.ok
        text = texts[finding.code].format(value=finding.value)
        if as_json:
            write(json.dumps({"check": finding.name, "ok": finding.ok, "code": finding.code, "text": text}) + "\n")
        else:
            write(f"{'✓' if finding.ok else '✗'} {names[finding.name]} : {text}\n")
    return healthy
