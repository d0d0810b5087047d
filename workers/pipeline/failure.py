"""What an error means for the run, and how long to wait before the next attempt."""

from __future__ import annotations

import random
from enum import Enum, auto

from facnet_grpc.errors import FacnetError, LeaseLost, Reason, RunCancelled, TerminalError, TransientError

LONGEST_WAIT_SECONDS = 300.0


class Outcome(Enum):
    """What to do with a run whose attempt did not end well."""

    ABANDON = auto()  # another worker has it: leave everything alone
    CANCEL = auto()  # a caller asked for it
    RELEASE = auto()  # this process has to go: somebody else may begin at once, nothing counted
    FAIL = auto()  # another attempt would end the same way
    RETRY = auto()  # worth another attempt, if any is left


def classify(error: BaseException) -> Outcome:
    """Return what `error` means. A bug of ours counts as passing: it stops after the last attempt, not before."""
    for kinds, outcome in _OUTCOMES:
        if isinstance(error, kinds):
            return outcome
    if isinstance(error, FacnetError):
        return Outcome.RETRY if error.reason is Reason.INTERNAL else Outcome.FAIL
    return Outcome.RETRY if isinstance(error, Exception) else Outcome.RELEASE


# First match wins.
_OUTCOMES: tuple[tuple[type[FacnetError], Outcome], ...] = (
    (LeaseLost, Outcome.ABANDON),
    (RunCancelled, Outcome.CANCEL),
    (TransientError, Outcome.RETRY),
    (TerminalError, Outcome.FAIL),
)


def wait_seconds(attempt: int, base_seconds: float) -> float:
    """Return the seconds to wait after `attempt` (from 1): doubles each time, a quarter up or down at random."""
    wait = base_seconds * 2.0 ** min(attempt - 1, 30)
    return min(LONGEST_WAIT_SECONDS, wait) * random.uniform(0.75, 1.25)  # noqa: S311 - spreads load, guards nothing
