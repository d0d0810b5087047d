"""What each kind of error means for a run."""

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
from workers.validation.finalize import FailureAction, classify


@pytest.mark.parametrize(
    ("error", "action"),
    [
        (LeaseLost(), FailureAction.ABANDON),
        (RunCancelled(), FailureAction.CANCEL),
        (TransientError(), FailureAction.RETRY),
        (TransientError(Reason.DISK_FULL), FailureAction.RETRY),
        (TerminalError(Reason.NOT_A_CSV), FailureAction.FAIL),
        (TerminalError(Reason.BLOB_MISSING), FailureAction.FAIL),
        (InvalidInput(field="rule_ids"), FailureAction.FAIL),
        (LimitExceeded(), FailureAction.FAIL),
        (CorruptData(), FailureAction.FAIL),
        (NotFound(), FailureAction.FAIL),
        (FacnetError(Reason.INTERNAL, sqlstate="23505"), FailureAction.RETRY),
        (ValueError("a bug"), FailureAction.RETRY),
        (MemoryError(), FailureAction.RETRY),
        (Shutdown(), FailureAction.RELEASE),
        (SystemExit(), FailureAction.RELEASE),
        (KeyboardInterrupt(), FailureAction.RELEASE),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else value.name,
)
def test_every_error_has_an_action(error, action):
    assert classify(error) is action
