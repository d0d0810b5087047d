"""A server that gives each call one answer: what the examples in the client's docstrings show."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Event

import grpc
from fake_server import RUN_ID, progress, terminal
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from facnet_grpc.gen.facnet.v1 import (
    money_pb2,
    operations_service_pb2,
    operations_service_pb2_grpc,
    reference_service_pb2,
    reference_service_pb2_grpc,
    result_pb2,
    rule_service_pb2,
    rule_service_pb2_grpc,
    validation_pb2,
    validation_service_pb2_grpc,
)
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb2

RUN = validation_pb2.Validation(
    validation_id=RUN_ID,
    job_id=f"validation-{RUN_ID}",
    file_name="claims.csv",
    status=validation_pb2.VALIDATION_STATUS_COMPLETED,
    percent=100,
    total_rows=5000,
)
FINDINGS = [
    result_pb2.ValidationResult(
        rule_id="office_fee",
        severity=result_pb2.SEVERITY_ERROR,
        record_number=number,
        message="Le lieu manque.",
    )
    for number in (7, 12)
]
RULE = rule_service_pb2.Rule(
    rule_id="office_fee",
    name=rule_service_pb2.LocalizedText(fr="Frais de cabinet", en="Office fee"),
    parameters=[rule_service_pb2.RuleParameter(name="minimum")],
    enabled=True,
)
RULE.parameters[0].value.number_value = 6
CODES = [
    reference_service_pb2.BillingCode(
        code="15803",
        section="B",
        tariffs=[
            reference_service_pb2.Tariff(place="1", amount=money_pb2.Money(units=42, nanos=850_000_000)),
        ],
    ),
    reference_service_pb2.BillingCode(code="15804", tariffs=[reference_service_pb2.Tariff(place="1")]),
]


def _duration(**parts) -> Duration:
    made = Duration()
    made.FromTimedelta(timedelta(**parts))
    return made


ANSWERS: dict[str, Message | list[Message]] = {
    "SubmitValidation": pb2.SubmitValidationResponse(
        validation_id=RUN_ID, job_id=f"validation-{RUN_ID}", status=validation_pb2.VALIDATION_STATUS_QUEUED
    ),
    "UploadChunk": pb2.UploadChunkResponse(),
    "GetUpload": pb2.GetUploadResponse(committed_bytes=1 << 20),
    "GetValidation": pb2.GetValidationResponse(validation=RUN),
    "ListValidations": pb2.ListValidationsResponse(validations=[RUN]),
    "CancelValidation": pb2.CancelValidationResponse(validation=RUN),
    "RetryValidation": pb2.RetryValidationResponse(validation=RUN),
    "DeleteValidation": pb2.DeleteValidationResponse(),
    "GetValidationSummary": pb2.GetValidationSummaryResponse(
        validation=RUN,
        result_counts=validation_pb2.SeverityCounts(error=2),
        at_risk=money_pb2.Money(units=128, nanos=500_000_000),
    ),
    "ListValidationResults": pb2.ListValidationResultsResponse(results=FINDINGS),
    "ListRejectedRows": pb2.ListRejectedRowsResponse(
        rejected_rows=[pb2.RejectedRow(record_number=3, column="service_date", reason="bad_date")]
    ),
    "ListBillingRecords": pb2.ListBillingRecordsResponse(
        records=[
            pb2.BillingRecord(
                record_number=7,
                service_date="2025-03-03",
                code="15803",
                preliminary=money_pb2.Money(units=64, nanos=250_000_000),
            )
        ]
    ),
    "ListValidationLogs": pb2.ListValidationLogsResponse(
        entries=[pb2.LogEntry(level=pb2.LOG_LEVEL_INFO, event=event) for event in ("claimed", "completed")]
    ),
    "GetBatch": pb2.GetBatchResponse(
        counts=pb2.BatchCounts(batch_id="2025-03", processing=1, completed=1),
        status=validation_pb2.VALIDATION_STATUS_PROCESSING,
    ),
    "WatchValidation": [progress(40), terminal()],
    "ExportValidation": [
        pb2.ExportValidationResponse(data=b"rule_id\noffice_fee\n", rows=1, total_rows=2),
        pb2.ExportValidationResponse(data=b"office_fee\n", rows=2, total_rows=2),
    ],
    "RevalidateValidation": [
        pb2.RevalidateValidationResponse(
            change=pb2.ResultChange(kind=pb2.CHANGE_KIND_GONE, before=FINDINGS[0]),
        ),
        pb2.RevalidateValidationResponse(summary=pb2.RevalidationSummary(gone=1, unchanged=1)),
    ],
    "GetQueueStats": operations_service_pb2.GetQueueStatsResponse(
        queues=[
            operations_service_pb2.QueueStats(
                kind=operations_service_pb2.JOB_KIND_VALIDATION, counts=operations_service_pb2.JobCounts(waiting=3)
            )
        ],
        recent_period=_duration(minutes=5),
    ),
    "ListFailedJobs": operations_service_pb2.ListFailedJobsResponse(
        jobs=[
            operations_service_pb2.FailedJob(
                owner="clinic-7", error=validation_pb2.RunError(code="NOT_A_CSV"), can_replay=True
            )
        ]
    ),
    "ReplayFailedJob": operations_service_pb2.ReplayFailedJobResponse(validation=RUN, replayed=True),
    "PurgeValidations": operations_service_pb2.PurgeValidationsResponse(purged=12),
    "GetReferenceVersion": reference_service_pb2.GetReferenceVersionResponse(code_count=2),
    "ListBillingCodes": reference_service_pb2.ListBillingCodesResponse(codes=CODES),
    "GetBillingCode": reference_service_pb2.GetBillingCodeResponse(code=CODES[0]),
    "ListEstablishments": reference_service_pb2.ListEstablishmentsResponse(
        establishments=[reference_service_pb2.Establishment(number="55001", gmf=True)]
    ),
    "ImportReference": reference_service_pb2.ImportReferenceResponse(added=1),
    "ListRules": rule_service_pb2.ListRulesResponse(rules=[RULE]),
    "GetRule": rule_service_pb2.GetRuleResponse(rule=RULE),
}
BATCH_END = terminal(batch=pb2.BatchCounts(batch_id="2025-03", completed=2))


@dataclass
class Call:
    """What the server saw of a call."""

    method: str
    metadata: dict[str, str | bytes]
    seconds: float | None  # until its deadline


@dataclass
class ExampleServer:
    """Answers every method from `ANSWERS`; with `hang`, not before the caller goes away."""

    calls: list[Call] = field(default_factory=list)
    hang: bool = False

    def __getattr__(self, method):
        answer = ANSWERS[method]

        def unary(request, context):
            self._enter(method, request, context)
            return answer

        def streaming(request, context):
            self._enter(method, request, context)
            yield from [BATCH_END] if getattr(request, "batch_id", "") else answer

        return streaming if isinstance(answer, list) else unary

    def _enter(self, method, request, context):
        self.calls.append(Call(method, dict(context.invocation_metadata()), context.time_remaining()))
        if self.hang:
            gone = Event()
            if context.add_callback(gone.set):
                gone.wait(30)
        if isinstance(request, Iterator):
            for _ in request:
                pass


@contextmanager
def serving(example: ExampleServer) -> Iterator[str]:
    """Serve on a free port of the loopback; yields the target."""
    server = grpc.server(ThreadPoolExecutor(max_workers=4))
    for module, service in (
        (validation_service_pb2_grpc, "ValidationService"),
        (operations_service_pb2_grpc, "OperationsService"),
        (reference_service_pb2_grpc, "ReferenceService"),
        (rule_service_pb2_grpc, "RuleService"),
    ):
        getattr(module, f"add_{service}Servicer_to_server")(example, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(grace=None).wait()
