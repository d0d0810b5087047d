"""Core dumps are disabled: that of a crashed process would put claims and keys on the disk."""

from __future__ import annotations

import resource


def disable_core_dumps() -> None:
    """Disable core dumps of this process and its children, whatever the shell or the container allows."""
    if resource.getrlimit(resource.RLIMIT_CORE) != (0, 0):  # in a sandbox it may be 0 and not settable
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
