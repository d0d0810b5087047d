"""Batches: model ⇄ proto."""

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
from facnet_grpc.server.paging import Cursor, cut
from facnet_grpc.server.proto import STATUS, duration, money, severity_counts
from facnet_grpc.server.runs import proto as runs_proto
from facnet_grpc.server.watching.batches import MAX_RUNS, Details
from facnet_grpc.texts.language import Locale
from facnet_grpc.texts.render import result_text


def cursor_id(batch_id: str) -> UUID:
    """Return what stands for a batch in a cursor."""
    return UUID(bytes=hashlib.sha256(batch_id.encode()).digest()[:16])


def counts(batch: RunBatch) -> pb.BatchCounts:
    """Return the runs of a batch by status."""
    return pb.BatchCounts(
        batch_id=batch.batch_id,
        queued=batch.queued,
        processing=batch.processing,
        completed=batch.completed,
        failed=batch.failed,
        cancelled=batch.cancelled,
    )


def watched(batch: RunBatch, now: datetime) -> pb.WatchValidationResponse:
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
    """Writes a batch for one caller: in their language, with persons as they may see them."""

    locale: Locale
    persons: PersonView

    def details(self, details: Details) -> pb.GetBatchResponse:
        """Return a batch."""
        batch = details.batch
        validations, _ = cut(details.runs, MAX_RUNS, partial(runs_proto.validation, locale=self.locale), lambda _: "")
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
