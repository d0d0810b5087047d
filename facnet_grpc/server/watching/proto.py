"""Watched runs and batches: model ⇄ proto."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

from facnet_grpc.gen.facnet.v1 import result_pb2
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.gen.facnet.v1.run_progress_pb2 import RunProgress
from facnet_grpc.model.batch import Duplicate, RunBatch
from facnet_grpc.phi.redaction import PersonView
from facnet_grpc.server.paging import Cursor, render_page
from facnet_grpc.server.proto import STATUS, duration, money, run_error, severity_counts
from facnet_grpc.server.runs import proto as runs_proto
from facnet_grpc.server.watching.queries import BatchDetails
from facnet_grpc.server.watching.snapshot import RunSnapshot
from facnet_grpc.texts.language import Locale
from facnet_grpc.texts.render import result_text, rule_name, scenario_title


def watched_run(snapshot: RunSnapshot, locale: Locale, now: datetime) -> pb.WatchValidationResponse:
    """Return the state of a run. Previewed results have their title only: a full text could name persons."""
    answer = pb.WatchValidationResponse(
        cursor=snapshot.cursor.encode(),
        validation_id=str(snapshot.run_id),
        status=STATUS[snapshot.status],
        progress=snapshot.progress,
        queue_position=snapshot.queue_position,
        eta=duration(snapshot.eta(now)),
        error=run_error(snapshot.error_code, snapshot.error_params, locale),
    )
    for result in answer.progress.preview:
        result.message = _title(result, locale)
    return answer


def _title(result: result_pb2.ValidationResult, locale: Locale) -> str:
    names = (rule_name(result.rule_id, locale), scenario_title(result.rule_id, result.scenario, locale))
    return " · ".join(name for name in names if name)


def cursor_id(batch_id: str) -> UUID:
    """Return the id of a batch in a cursor, which has room for a UUID."""
    return UUID(bytes=hashlib.sha256(batch_id.encode()).digest()[:16])


def counts(batch: RunBatch) -> pb.BatchCounts:
    """Return the number of runs of a batch by status."""
    return pb.BatchCounts(
        batch_id=batch.batch_id,
        queued=batch.queued,
        processing=batch.processing,
        completed=batch.completed,
        failed=batch.failed,
        cancelled=batch.cancelled,
    )


def watched_batch(batch: RunBatch, now: datetime) -> pb.WatchValidationResponse:
    """Return the state of a batch to a watcher."""
    return pb.WatchValidationResponse(
        cursor=Cursor(cursor_id(batch.batch_id), 0, batch.percent).encode(),
        status=STATUS[batch.status],
        progress=RunProgress(
            percent=batch.percent,
            bytes_parsed=batch.bytes_parsed,
            total_bytes=batch.total_bytes,
            rows_parsed=batch.total_rows,
            rows_loaded=batch.processed_rows,
            rows_rejected=batch.rejected_rows,
            result_counts=severity_counts(batch.result_counts),
        ),
        eta=duration(batch.eta(now)),
        batch=counts(batch),
    )


@dataclass(frozen=True, slots=True)
class BatchRenderer:
    """Renders a batch for one caller: in their language, with persons redacted unless they may see them."""

    locale: Locale
    persons: PersonView

    def details(self, details: BatchDetails) -> pb.GetBatchResponse:
        """Return a batch."""
        batch = details.batch
        validations = render_page(details.runs, partial(runs_proto.validation, locale=self.locale))
        return pb.GetBatchResponse(
            counts=counts(batch),
            status=STATUS[batch.status],
            percent=batch.percent,
            total_rows=batch.total_rows,
            processed_rows=batch.processed_rows,
            rejected_rows=batch.rejected_rows,
            result_counts=severity_counts(batch.result_counts),
            at_risk=money(details.money.at_risk_cents),
            potential_gain=money(details.money.potential_gain_cents),
            validations=validations,
            duplicates=[self._duplicate(one) for one in details.duplicates or ()],
            duplicate_count=details.duplicate_count,
        )

    def _duplicate(self, duplicate: Duplicate) -> pb.BatchDuplicate:
        data = {
            "ramq_id": duplicate.ramq_id,
            "code": duplicate.code,
            "count": duplicate.count,
            "places": [f"{place.file_name} ({place.record_number})" for place in duplicate.places],
        }
        doctor = self.persons.doctor_name(duplicate.doctor_name)
        text = result_text(
            "batch",
            "duplicate",
            data,
            self.locale,
            doctor=doctor,
            service_date=duplicate.service_date,
        )
        return pb.BatchDuplicate(
            severity=result_pb2.SEVERITY_WARNING,
            ramq_id=duplicate.ramq_id,
            code=duplicate.code,
            service_date=duplicate.service_date.isoformat(),
            doctor_key=self.persons.doctor_key(duplicate.doctor_key),
            places=[
                pb.BatchPlace(
                    validation_id=str(place.run_id),
                    file_name=place.file_name,
                    record_number=place.record_number,
                )
                for place in duplicate.places
            ],
            message=text.message,
            solution=text.solution,
        )
