"""Files that may change while the server runs: certificates that are renewed, lists that are edited."""

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
_Seen = tuple[tuple[int, int, int], ...]


@contextmanager
def blamed_on(setting: str) -> Iterator[None]:
    """Turn what is wrong with a file at the start into a `SettingsError` that names the setting."""
    try:
        yield
    except OSError as error:
        raise SettingsError(f"{variable(setting)}: cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise SettingsError(f"{variable(setting)}: {error}.") from None


class Reloaded(Generic[T]):
    """What is made of some files; made anew when they have changed. Safe to use from several threads."""

    def __init__(self, name: str, paths: Sequence[Path], make: Callable[[], T]) -> None:
        """Make it a first time; whatever `make` raises goes to the caller."""
        self._name = name
        self._paths = tuple(paths)
        self._make = make
        self._lock = Lock()
        self._seen = self._look()
        self._made = make()

    def get(self) -> T:
        """Return what the files say; what they said before while they cannot be read, or are half written."""
        with self._lock:
            try:
                self._refresh()
            except (OSError, ValueError) as error:
                log.warning("file_not_reloaded", name=self._name, kind=type(error).__name__)
            return self._made

    def _refresh(self) -> None:
        seen = self._look()
        if seen != self._seen:
            self._made = self._make()
            self._seen = seen
            log.info("file_reloaded", name=self._name)

    def _look(self) -> _Seen:
        return tuple((found.st_mtime_ns, found.st_size, found.st_ino) for found in map(Path.stat, self._paths))
