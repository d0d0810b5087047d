"""Core dumps: none. A process that crashes while it reads claims would leave them, and its keys, on the disk."""

from __future__ import annotations

import resource


def forbid() -> None:
    """Let this process and its children leave no core, whatever the shell or the container allows."""
    if resource.getrlimit(resource.RLIMIT_CORE) != (0, 0):  # a sandbox may have said so, and forbid saying more
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
