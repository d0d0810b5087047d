"""Imports reference files from a folder when they have changed: codes.csv, establishments.csv, contexts.csv.

Files are those that `ImportReference` accepts, and are imported all or none: a bad file changes nothing, and is
reported each time until it is corrected. An imported file is not imported again until it changes, so a version that
somebody else has put in force since stays in force.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from facnet_grpc.calendar import day_in_quebec
from facnet_grpc.errors import InvalidInput, LimitExceeded, Reason, TransientError
from facnet_grpc.logs import get_logger
from facnet_grpc.model.reference import ReferenceKind
from facnet_grpc.reference import tables
from facnet_grpc.reference.tables import MAX_FILE_BYTES, ReferenceFile
from facnet_grpc.storage.postgres import periodic, reference
from facnet_grpc.storage.postgres.database import Database
from facnet_grpc.storage.postgres.reference import IMPORT_SECONDS

NAME = "reference"
SETTLE_SECONDS = 10.0  # a file that changed less than this ago may still be being written
log = get_logger(__name__)


class ReferenceRefresh:
    """A step of a periodic job, for one folder."""

    def __init__(self, database: Database, folder: Path, *, max_file_bytes: int = MAX_FILE_BYTES) -> None:
        self._database = database
        self._folder = folder
        self._max_file_bytes = max_file_bytes

    def run(self) -> None:
        """Import what has changed.

        Raises `InvalidInput` (BAD_REFERENCE_FILE) with kind, line, column and problem, `LimitExceeded`
        (FILE_TOO_LARGE), `TransientError` if the folder cannot be read or PostgreSQL does not answer.
        """
        with self._database.connection() as conn:
            known = _known(periodic.last_execution(conn, NAME))
        digests = {file: hashlib.sha256(file.data).hexdigest() for file in self._files()}
        files = [file for file, digest in digests.items() if known.get(file.kind.value) != digest]
        if not files:
            return
        parts = tables.read_all(files)
        with self._database.connection(statement_timeout=IMPORT_SECONDS) as conn:
            version, changes = reference.adopt(
                conn, parts, source=tables.sources(files), day=day_in_quebec(datetime.now(UTC))
            )
            imported = {file.kind.value: digests[file] for file in files}
            periodic.save_state(conn, NAME, {"digests": {**known, **imported}})
        log.info(
            "reference_refreshed",
            reference_version=version.version,
            added=changes.added,
            removed=changes.removed,
            changed=changes.changed,
        )

    def _files(self) -> list[ReferenceFile]:
        """Return the files in the folder; none while one of them may still be being written."""
        try:
            paths = sorted(path for path in self._folder.iterdir() if path.suffix == ".csv")
            kinds = {path: _kind(path) for path in paths}
            changed_at = {path: path.stat().st_mtime for path in paths}
            now = datetime.now(UTC).timestamp()
            if any(abs(now - at) < SETTLE_SECONDS for at in changed_at.values()):
                return []
            return [ReferenceFile(kinds[path], _source(path, changed_at[path]), self._read(path)) for path in paths]
        except OSError:
            log.warning("reference_folder_unreadable")
            raise TransientError from None

    def _read(self, path: Path) -> bytes:
        with path.open("rb") as file:
            data = file.read(self._max_file_bytes + 1)
        if len(data) > self._max_file_bytes:
            raise LimitExceeded(Reason.FILE_TOO_LARGE, max_bytes=self._max_file_bytes)
        return data


def _known(last: periodic.Execution | None) -> Mapping[str, str]:
    found: Mapping[str, str] = last.state.get("digests", {}) if last else {}
    return found


def _kind(path: Path) -> ReferenceKind:
    try:
        return ReferenceKind(path.stem)
    except ValueError:
        raise InvalidInput(
            Reason.BAD_REFERENCE_FILE, field=path.name, kind="", line=0, column="", problem="unknown_name"
        ) from None


def _source(path: Path, changed_at: float) -> str:
    return f"{path.name}, {day_in_quebec(datetime.fromtimestamp(changed_at, UTC)).isoformat()}"
