"""A worker with bugs: a rule raises, with the cells that it was looking at in its text, and so does a job, once.

The job does it when somebody puts a file where `CANARY_BUG` says: outside of all that is foreseen.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NoReturn
from uuid import UUID

from canary_scan import NAM, SURNAME

from facnet_grpc.rules.catalog.office_fee.rule import OfficeFee
from workers import main

_work = main.validate


def setup() -> None:
    """Put the bugs in, and go on as every worker."""
    OfficeFee.evaluate = _raise  # type: ignore[method-assign]
    main.validate = _validate  # type: ignore[assignment]
    main.setup()


def _raise(_self: Any, lines: Any, _reference: Any) -> NoReturn:
    raise ValueError(lines.slice(0, 5).to_pylist())


def _validate(resources: Any, run_id: UUID) -> None:
    told = Path(os.environ["CANARY_BUG"])
    if told.exists():
        told.unlink()
        raise ValueError(f"cannot work on {NAM} - {SURNAME}")
    _work(resources, run_id)
