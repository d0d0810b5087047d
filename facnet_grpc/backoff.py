"""Exponential backoff with jitter, for everything that the service tries again."""

from __future__ import annotations

import random

_MAX_DOUBLINGS = 30


def backoff_seconds(attempt: int, *, base_seconds: float, max_seconds: float) -> float:
    """Return the seconds to wait after `attempt` (from 1).

    The delay is `base_seconds` after the first attempt, doubles with each further one up to `max_seconds`, and is then
    multiplied by a random factor from 0.5 to 1, so that what failed together is not tried again together.
    """
    delay = min(max_seconds, base_seconds * 2.0 ** min(attempt - 1, _MAX_DOUBLINGS))
    return delay * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing
