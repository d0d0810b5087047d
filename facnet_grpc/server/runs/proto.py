"""Runs, their progress and their figures: model ⇄ proto."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from google.protobuf.duration_pb2 import Duration

from facnet_grpc.gen.facnet.v1 import validation_pb2
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.model.run import Run, RunStatus
from facnet_grpc.model.summary import DayFigures, ScenarioFigures, Summary
from facnet_grpc.server import request_fields
from facnet_grpc.server.proto import (
    PHASE,
    PRIORITY,
    SEVERITY,
    STATUS,
    duration,
    money,
    run_error,
    severity_counts,
    timestamp,
)
from facnet_grpc.server.results.proto import preview_message
from facnet_grpc.server.runs.estimate import NOTHING, Estimate
from facnet_grpc.server.watching.snapshot import RunSnapshot
from facnet_grpc.texts.language import Locale
from facnet_grpc.texts.render import rule_name, scenario_title


def statuses(values: Iterable[int]) -> tuple[RunStatus, ...]:
    """Read the statuses of a filter, sorted."""
    known: dict[int, RunStatus] = {number: status for status, number in STATUS.items()}
    return tuple(sorted({request_fields.one_of("statuses", value, known) for value in values}))


def watched(view: RunSnapshot, locale: Locale, now: datetime) -> pb.WatchValidationResponse:
    """Return the state of a run to a watcher."""
    answer = pb.WatchValidationResponse(
        cursor=view.cursor.encode(),
        validation_id=str(view.run_id),
        status=STATUS[view.status],
        progress=view.progress,
        queue_position=view.queue_position,
        eta=duration(view.eta(now)),
        error=run_error(view.error_code, view.error_params, locale),
    )
    for result in answer.progress.preview:
        result.message = preview_message(result, locale)
    return answer


def validation(run: Run, locale: Locale, expected: Estimate = NOTHING) -> validation_pb2.Validation:
    """Return a run, and what is expected of it."""
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
        queue_position=expected.position,
        eta=_until(expected.ends_at),
    )


def summary(run: Run, found: Summary, locale: Locale) -> pb.GetValidationSummaryResponse:
    """Return the figures of a run."""
    return pb.GetValidationSummaryResponse(
        validation=validation(run, locale),
        result_counts=severity_counts(run.result_counts),
        at_risk=money(found.at_risk_cents),
        potential_gain=money(found.potential_gain_cents),
        scenarios=[_scenario(figures, locale) for figures in found.scenarios],
        passes=[pb.PassCount(rule_id=p.rule_id, scenario=p.scenario, count=p.count) for p in found.passes],
        not_evaluable=[
            pb.NotEvaluable(rule_id=rule.rule_id, missing_columns=rule.missing_columns) for rule in found.not_evaluable
        ],
        rejections=[
            pb.RejectionCount(reason=kind.reason, column=kind.column, count=kind.count) for kind in found.rejections
        ],
        defects=[pb.DefectCount(column=defect.column, count=defect.count) for defect in found.defects],
        reversal_rows=found.reversal_rows,
        days=[_day(figures) for figures in found.days],
    )


def _until(moment: datetime | None) -> Duration | None:
    now = datetime.now(UTC)
    return duration(moment - now) if moment is not None and moment > now else None


def _scenario(figures: ScenarioFigures, locale: Locale) -> pb.ScenarioSummary:
    return pb.ScenarioSummary(
        rule_id=figures.rule_id,
        scenario=figures.scenario,
        severity=SEVERITY[figures.severity],
        count=figures.count,
        at_risk=money(figures.at_risk_cents),
        potential_gain=money(figures.potential_gain_cents),
        rule_name=rule_name(figures.rule_id, locale),
        title=scenario_title(figures.rule_id, figures.scenario, locale),
    )


def _day(figures: DayFigures) -> pb.DaySummary:
    return pb.DaySummary(
        service_date=figures.service_date.isoformat(),
        rows=figures.rows,
        result_counts=severity_counts(figures),
        at_risk=money(figures.at_risk_cents),
        potential_gain=money(figures.potential_gain_cents),
    )
