"""Runs, their progress and their figures: model ⇄ proto."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf.duration_pb2 import Duration

from facnet_grpc.gen.facnet.v1 import validation_pb2
from facnet_grpc.model.run import Run, RunStatus
from facnet_grpc.server.proto import (
    PHASE,
    PRIORITY,
    STATUS,
    duration,
    run_error,
    severity_counts,
    timestamp,
)
from facnet_grpc.server.runs.estimate import UNKNOWN, Estimate
from facnet_grpc.texts.language import Locale


def validation(run: Run, locale: Locale, estimate: Estimate = UNKNOWN) -> validation_pb2.Validation:
    """Return a run with its estimate."""
    return validation_pb2.Validation(
        validation_id=str(run.id),
        job_id=run.job_id,
        file_name=run.file_name,
        status=STATUS[run.status],
        phase=PHASE[run.phase],
        percent=run.percent,
        size_bytes=run.size_bytes,
        sha256=run.sha256,
        encoding=run.encoding or "",
        delimiter=run.delimiter or "",
        total_rows=run.total_rows,
        processed_rows=run.processed_rows,
        rejected_rows=run.rejected_rows,
        result_counts=severity_counts(run.result_counts),
        attempt=run.attempt,
        create_time=timestamp(run.created_at),
        start_time=timestamp(run.started_at),
        end_time=timestamp(run.finished_at),
        next_attempt_time=timestamp(run.next_attempt_at) if run.status is RunStatus.QUEUED else None,
        error=run_error(run.error_code, run.error_params, locale),
        rule_set_version=run.rule_set_version or "",
        reference_version=run.reference_version or "",
        batch_id=run.batch_id or "",
        priority=PRIORITY[run.priority],
        labels=run.labels,
        rule_ids=run.rule_ids,
        queue_position=estimate.position,
        eta=_until(estimate.ends_at),
    )


def _until(end: datetime | None) -> Duration | None:
    now = datetime.now(UTC)
    return duration(end - now) if end is not None and end > now else None
