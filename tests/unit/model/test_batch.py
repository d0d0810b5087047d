"""The state of a batch is made of those of its runs."""

from datetime import UTC, datetime, timedelta

import pytest

from facnet_grpc.model.batch import RunBatch
from facnet_grpc.model.run import RunStatus, SeverityCounts

BEGAN = datetime(2025, 1, 1, tzinfo=UTC)


def batch(percent=50.0, **counts):
    runs = dict.fromkeys(("queued", "processing", "completed", "failed", "cancelled"), 0) | counts
    return RunBatch("lot", **runs, bytes_parsed=0, total_bytes=0, percent=percent, total_rows=0, processed_rows=0,
                 rejected_rows=0, result_counts=SeverityCounts(), started_at=BEGAN)  # fmt: skip


@pytest.mark.parametrize(
    ("counts", "status"),
    [
        ({"queued": 2}, RunStatus.QUEUED),
        ({"queued": 1, "processing": 1}, RunStatus.PROCESSING),
        ({"queued": 1, "completed": 1}, RunStatus.PROCESSING),
        ({"processing": 1, "failed": 1}, RunStatus.PROCESSING),
        ({"completed": 2}, RunStatus.COMPLETED),
        ({"completed": 2, "cancelled": 1}, RunStatus.CANCELLED),
        ({"completed": 2, "cancelled": 1, "failed": 1}, RunStatus.FAILED),
    ],
)
def test_status(counts, status):
    assert batch(**counts).status is status


def test_the_rest_takes_as_long_as_the_part_that_is_done():
    later = BEGAN + timedelta(seconds=10)

    assert batch(percent=25.0, processing=1).eta(later) == timedelta(seconds=30)
    assert batch(percent=1.0, processing=1).eta(later) is None
    assert batch(percent=100.0, completed=1).eta(later) is None
