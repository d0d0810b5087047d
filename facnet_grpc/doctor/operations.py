"""What the doctor looks at beside the parts themselves: keys, disk, clock, workers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from facnet_grpc.doctor.finding import Finding
from facnet_grpc.errors import FacnetError
from facnet_grpc.settings.environment import GIB, SettingsError
from facnet_grpc.settings.storage import StorageSettings
from facnet_grpc.storage.postgres import queue
from facnet_grpc.storage.postgres.database import KeylessDatabase

MIN_FREE_BYTES = GIB
MAX_SKEW_SECONDS = 5.0  # leases are PostgreSQL's own time; this is for times that people compare

NAMES: Mapping[str, Mapping[str, str]] = {
    "fr": {"keys": "Clés", "disk": "Disque", "clock": "Horloge", "worker": "Travailleurs"},
    "en": {"keys": "Keys", "disk": "Disk", "clock": "Clock", "worker": "Workers"},
}
TEXTS: Mapping[str, Mapping[str, str]] = {
    "fr": {
        "keys_ok": "toutes présentes, {value} utilisées",
        "keys_missing": "aucune clé de chiffrement. Définissez FACNET_BLOB_KEY ou FACNET_BLOB_KEY_FILE.",
        "keys_unknown": "des données sont chiffrées avec une clé absente ({value}). Remettez-la dans FACNET_BLOB_KEY.",
        "disk_ok": "{value} Gio libres",
        "disk_full": "{value} Gio libres seulement. Libérez de l'espace sous FACNET_BLOB_DIR.",
        "disk_away": "l'espace libre ne peut pas être lu. Vérifiez FACNET_BLOB_DIR.",
        "clock_ok": "{value} s d'écart avec PostgreSQL",
        "clock_skewed": "{value} s d'écart avec PostgreSQL. Réglez les horloges, avec NTP par exemple.",
        "worker_ok": "{value} connexions à PostgreSQL",
        "worker_away": "aucun n'est relié à cette base. Lancez « facnet worker ».",
    },
    "en": {
        "keys_ok": "all there, {value} in use",
        "keys_missing": "no key to encrypt with. Set FACNET_BLOB_KEY or FACNET_BLOB_KEY_FILE.",
        "keys_unknown": "data are encrypted with a key that is not there ({value}). Put it back into FACNET_BLOB_KEY.",
        "disk_ok": "{value} GiB free",
        "disk_full": "only {value} GiB free. Make room under FACNET_BLOB_DIR.",
        "disk_away": "free space cannot be read. Check FACNET_BLOB_DIR.",
        "clock_ok": "{value} s from PostgreSQL's",
        "clock_skewed": "{value} s from PostgreSQL's. Set the clocks, with NTP for example.",
        "worker_ok": "{value} connections to PostgreSQL",
        "worker_away": "none is connected to this database. Run “facnet worker”.",
    },
}


def examine(settings: StorageSettings) -> Iterator[Finding]:
    """Yield what each check finds; those that need PostgreSQL are left out while it is away."""
    yield check_disk(settings)
    url = settings.database_url.get_secret_value()
    with KeylessDatabase(url, max_connections=1, application_name="facnet-doctor") as database:
        for check in (check_keys, check_clock, check_workers):
            try:
                yield check(settings, database)
            except FacnetError:
                return


def check_disk(settings: StorageSettings) -> Finding:
    """Check that there is room for files."""
    try:
        free = shutil.disk_usage(settings.blob_dir).free
    except OSError:
        return Finding("disk", ok=False, code="disk_away")
    ok = free >= MIN_FREE_BYTES
    return Finding("disk", ok, "disk_ok" if ok else "disk_full", f"{free / GIB:.1f}")


def check_keys(settings: StorageSettings, database: KeylessDatabase) -> Finding:
    """Check that every key that files are encrypted with is known here. Raises `FacnetError`."""
    try:
        known = {key.id for key in settings.blob_keys.all}
    except SettingsError:
        return Finding("keys", ok=False, code="keys_missing")
    with database.connection() as conn:
        used = queue.key_ids(conn)
    if missing := sorted(used - known):
        return Finding("keys", ok=False, code="keys_unknown", value=", ".join(missing))
    return Finding("keys", ok=True, code="keys_ok", value=str(len(used)))


def check_clock(_settings: StorageSettings, database: KeylessDatabase) -> Finding:
    """Check that this machine and PostgreSQL agree on the time. Raises `FacnetError`."""
    with database.connection() as conn:
        before = datetime.now(UTC)
        theirs = queue.clock(conn)
        after = datetime.now(UTC)
    skew = max((before - theirs).total_seconds(), (theirs - after).total_seconds(), 0.0)
    ok = skew <= MAX_SKEW_SECONDS
    return Finding("clock", ok, "clock_ok" if ok else "clock_skewed", f"{skew:.1f}")


def check_workers(_settings: StorageSettings, database: KeylessDatabase) -> Finding:
    """Check that somebody works. Raises `FacnetError`."""
    with database.connection() as conn:
        count = queue.workers(conn)
    return Finding("worker", count > 0, "worker_ok" if count else "worker_away", str(count))
