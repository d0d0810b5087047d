"""What each kind of error means for a run, and the wait before another attempt."""

from __future__ import annotations

import pytest
from dramatiq.middleware import Shutdown

from facnet_grpc.errors import (
    CorruptData,
    FacnetError,
    InvalidInput,
    LeaseLost,
    LimitExceeded,
    NotFound,
    Reason,
    RunCancelled,
    TerminalError,
    TransientError,
)
from workers.validation.finalize import LONGEST_WAIT_SECONDS, Outcome, classify, wait_seconds


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (LeaseLost(), Outcome.ABANDON),
        (RunCancelled(), Outcome.CANCEL),
        (TransientError(), Outcome.RETRY),
        (TransientError(Reason.DISK_FULL), Outcome.RETRY),
        (TerminalError(Reason.NOT_A_CSV), Outcome.FAIL),
        (TerminalError(Reason.BLOB_MISSING), Outcome.FAIL),
        (InvalidInput(field="rule_ids"), Outcome.FAIL),
        (LimitExceeded(), Outcome.FAIL),
        (CorruptData(), Outcome.FAIL),
        (NotFound(), Outcome.FAIL),
        (FacnetError(Reason.INTERNAL, sqlstate="23505"), Outcome.RETRY),
        (ValueError("a bug"), Outcome.RETRY),
        (MemoryError(), Outcome.RETRY),
        (Shutdown(), Outcome.RELEASE),
        (SystemExit(), Outcome.RELEASE),
        (KeyboardInterrupt(), Outcome.RELEASE),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else value.name,
)
def test_every_error_has_an_outcome(error, outcome):
    assert classify(error) is outcome


@pytest.mark.parametrize(("attempt", "middle"), [(1, 2.0), (2, 4.0), (3, 8.0), (60, LONGEST_WAIT_SECONDS)])
def test_the_wait_doubles_up_to_a_limit_give_or_take_a_quarter(attempt, middle):
    waits = [wait_seconds(attempt, 2.0) for _ in range(200)]
    assert min(waits) >= middle * 0.75
    assert max(waits) <= middle * 1.25
    assert max(waits) - min(waits) > middle * 0.1  # workers that failed together do not come back together
