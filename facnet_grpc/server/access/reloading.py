"""Values parsed from files that may change while the server runs: renewed certificates, edited subject lists."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Generic, TypeVar

from facnet_grpc.logs import get_logger
from facnet_grpc.settings.environment import SettingsError, variable

log = get_logger(__name__)

T = TypeVar("T")
_Stats = tuple[tuple[int, int, int], ...]  # modification time in ns, size and inode of each file


@contextmanager
def file_errors(setting: str) -> Iterator[None]:
    """Raise `OSError` and `ValueError` of a file as a `SettingsError` that names the setting."""
    try:
        yield
    except OSError as error:
        raise SettingsError(f"{variable(setting)}: cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise SettingsError(f"{variable(setting)}: {error}.") from None


class ReloadedFiles(Generic[T]):
    """A value parsed from files, parsed again when they have changed. Thread-safe."""

    def __init__(self, name: str, paths: Sequence[Path], parse: Callable[[], T]) -> None:
        """Parse for the first time. Raises what `parse` raises."""
        self._name = name
        self._paths = tuple(paths)
        self._parse = parse
        self._lock = Lock()
        self._stats = self._stat()
        self._value = parse()

    def get(self) -> T:
        """Return the value; the previous one while the files cannot be read or parsed, such as half-written ones."""
        with self._lock:
            try:
                self._refresh()
            except (OSError, ValueError) as error:
                log.warning("file_not_reloaded", name=self._name, kind=type(error).__name__)
            return self._value

    def _refresh(self) -> None:
        stats = self._stat()
        if stats != self._stats:
            self._value = self._parse()
            self._stats = stats
            log.info("file_reloaded", name=self._name)

    def _stat(self) -> _Stats:
        return tuple((found.st_mtime_ns, found.st_size, found.st_ino) for found in map(Path.stat, self._paths))
