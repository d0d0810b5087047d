"""Reading runs, summaries, results and rejected lines, page by page and without PHI."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import grpc
import pyarrow as pa
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from serving import KEY, Server, Worker, refused, submit

from facnet_grpc.gen.facnet.v1 import result_pb2, validation_pb2
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.model.billing import REJECTED_SCHEMA
from facnet_grpc.model.result import RESULT_SCHEMA, Severity
from facnet_grpc.model.summary import DayFigures, PassFigures, RejectionFigures, ScenarioFigures, Summary
from facnet_grpc.phi.redaction import Redactor
from facnet_grpc.storage.postgres import records, results

pytestmark = pytest.mark.system

PATIENT, DOCTOR, OTHER_DOCTOR = "TREM12345678", "1234567", "7654321"


def result(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "result_number": number,
        "rule_id": "office_fee",
        "rule_version": "1",
        "scenario": "threshold_19928_registered",
        "severity": "error",
        "category": "office_fees",
        "certainty": "certain",
        "record_number": number,
        "affected_records": [number, number + 1],
        "ramq_ids": ["R1", ""],
        "doctor_key": DOCTOR,
        "doctor_name": "Martin, Marie",
        "patient_key": PATIENT,
        "service_date": date(2025, 1, number),
        "at_risk_cents": 12345,
        "potential_gain_cents": 0,
        "data": '{"visits": 3}',
        **changes,
    }


ROWS = [
    result(1),
    result(2, severity="warning", scenario="other"),
    result(3, rule_id="annual_visit", category="annual"),
    result(4, doctor_key=OTHER_DOCTOR, doctor_name=None),
    result(
        5, doctor_key=None, patient_key=None, service_date=None, record_number=None, affected_records=[], ramq_ids=[]
    ),
]
SUMMARY = Summary(
    at_risk_cents=12345,
    potential_gain_cents=5,
    reversal_rows=2,
    scenarios=(
        ScenarioFigures(
            rule_id="office_fee",
            scenario="threshold_19928_registered",
            severity=Severity.ERROR,
            count=3,
            at_risk_cents=12345,
            potential_gain_cents=0,
        ),
    ),
    passes=(PassFigures(rule_id="office_fee", scenario="valid", count=4),),
    rejections=(RejectionFigures(reason="bad_date", column="service_date", count=3),),
    days=(DayFigures(service_date=date(2025, 1, 1), rows=4, error=1, at_risk_cents=12345),),
)


@pytest.fixture
def completed(server: Server) -> UUID:
    """A run with five results and three rejected lines."""
    run_id = submit(server, labels={"site": "A"})
    worker = Worker(server, run_id).start()
    rejected = [
        {"record_number": number, "column_name": "service_date", "reason": "bad_date", "raw": PATIENT}
        for number in (6, 7, 8)
    ]
    with server.database.connection() as conn:
        results.write(conn, run_id, pa.Table.from_pylist(ROWS, schema=RESULT_SCHEMA))
        records.write_rejected(conn, run_id, pa.RecordBatch.from_pylist(rejected, schema=REJECTED_SCHEMA))
    worker.complete(summary=SUMMARY, rejected_rows=3)
    return run_id


def all_pages(call: Callable[[Any], Any], request: Any, field: str) -> list[list[Any]]:
    pages = []
    while True:
        answer = call(request)
        pages.append(list(getattr(answer, field)))
        if not answer.next_page_token:
            return pages
        request.page_token = answer.next_page_token


def list_results(server: Server, run_id: UUID, **asked: Any) -> list[int]:
    request = pb.ListValidationResultsRequest(validation_id=str(run_id), **asked)
    return [row.result_number for row in server.stub.ListValidationResults(request).results]


def test_a_run_is_read(server: Server, completed: UUID) -> None:
    run = server.stub.GetValidation(pb.GetValidationRequest(validation_id=str(completed))).validation
    assert run.status == validation_pb2.VALIDATION_STATUS_COMPLETED
    assert (run.percent, run.total_rows, run.processed_rows, run.rejected_rows) == (100, 10, 7, 3)
    assert (run.rule_set_version, run.reference_version, dict(run.labels)) == ("r1", "v1", {"site": "A"})
    assert run.create_time.seconds <= run.start_time.seconds <= run.end_time.seconds
    assert not run.HasField("error")


def test_results_are_rendered_without_persons(server: Server, completed: UUID) -> None:
    request = pb.ListValidationResultsRequest(validation_id=str(completed))
    answer = server.stub.ListValidationResults(request, metadata=(("accept-language", "en"),))
    first, last = answer.results[0], answer.results[-1]
    assert (first.doctor, first.at_risk.units, first.at_risk.nanos) == ("Dr M***", 123, 450_000_000)
    assert (first.doctor_key, first.patient_key) == (
        Redactor(KEY.encode()).doctor_key(DOCTOR),
        Redactor(KEY.encode()).patient(PATIENT),
    )
    assert (first.severity, first.certainty) == (result_pb2.SEVERITY_ERROR, result_pb2.CERTAINTY_CERTAIN)
    assert (list(first.affected_records), list(first.ramq_ids)) == ([1, 2], ["R1", ""])
    assert (first.service_date, first.data["visits"]) == ("2025-01-01", 3)
    assert first.message
    assert (last.doctor_key, last.patient_key, last.service_date, last.record_number) == ("", "", "", 0)
    for secret in (PATIENT, DOCTOR, "Martin", "Marie"):
        assert secret not in str(answer)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, [1, 2, 3, 4, 5]),
        ({"rule_ids": ["office_fee"]}, [1, 2, 4, 5]),
        ({"rule_ids": ["nonsense"]}, []),
        ({"severities": [result_pb2.SEVERITY_WARNING]}, [2]),
        ({"categories": ["annual"]}, [3]),
        ({"scenarios": ["other"]}, [2]),
        ({"service_date_from": "2025-01-02", "service_date_to": "2025-01-03"}, [2, 3]),
        ({"doctor_key": Redactor(KEY.encode()).doctor_key(OTHER_DOCTOR)}, [4]),
        ({"doctor_key": Redactor(KEY.encode()).doctor_key("0000000")}, []),
        ({"doctor_key": DOCTOR}, []),
        ({"page_size": 5000}, [1, 2, 3, 4, 5]),
    ],
)
def test_results_are_filtered(server: Server, completed: UUID, asked: dict[str, Any], expected: list[int]) -> None:
    assert list_results(server, completed, **asked) == expected


@pytest.mark.parametrize("size", [1, 2, 5])
def test_pages_are_whole_and_do_not_overlap(server: Server, completed: UUID, size: int) -> None:
    request = pb.ListValidationResultsRequest(validation_id=str(completed), page_size=size)
    pages = all_pages(server.stub.ListValidationResults, request, "results")
    assert [row.result_number for page in pages for row in page] == [1, 2, 3, 4, 5]
    assert all(len(page) == size for page in pages[:-1])
    assert pages[-1]


def test_a_page_of_large_results_ends_early(server: Server) -> None:
    run_id = submit(server)
    worker = Worker(server, run_id).start()
    rows = [result(number, service_date=None, affected_records=list(range(150_000, 250_000))) for number in range(1, 8)]
    with server.database.connection() as conn:
        results.write(conn, run_id, pa.Table.from_pylist(rows, schema=RESULT_SCHEMA))
    worker.complete()
    request = pb.ListValidationResultsRequest(validation_id=str(run_id), page_size=1000)
    pages = all_pages(server.stub.ListValidationResults, request, "results")
    assert len(pages) > 1
    assert [row.result_number for page in pages for row in page] == list(range(1, 8))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("page_size", -1),
        ("severities", [99]),
        ("service_date_from", "2025-1-1"),
        ("service_date_to", "2025-02-30"),
        ("rule_ids", ["x"] * 101),
        ("scenarios", [""]),
        ("doctor_key", "x\ny"),
    ],
)
def test_filters_that_cannot_be_read_are_named(server: Server, completed: UUID, field: str, value: Any) -> None:
    refusal = refused(lambda: list_results(server, completed, **{field: value}))
    assert (refusal.code, refusal.params["field"]) == (grpc.StatusCode.INVALID_ARGUMENT, field)


@pytest.mark.parametrize("token", ["x", "AAAA", "é", "x" * 5000])
def test_a_page_token_that_nobody_made_is_refused(server: Server, completed: UUID, token: str) -> None:
    for call in (
        lambda: list_results(server, completed, page_token=token),
        lambda: server.stub.ListValidations(pb.ListValidationsRequest(page_token=token)),
        lambda: server.stub.ListRejectedRows(
            pb.ListRejectedRowsRequest(validation_id=str(completed), page_token=token),
        ),
    ):
        refusal = refused(call)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "BAD_PAGE_TOKEN")


def test_a_page_token_is_good_for_its_own_list_only(server: Server, completed: UUID) -> None:
    request = pb.ListValidationResultsRequest(validation_id=str(completed), page_size=1)
    token = server.stub.ListValidationResults(request).next_page_token
    assert list_results(server, completed, page_token=token, page_size=2) == [2, 3], "another size is no other list"
    for asked in ({"rule_ids": ["office_fee"]}, {"doctor_key": "dr_x"}):
        refusal = refused(lambda asked=asked: list_results(server, completed, page_token=token, **asked))
        assert refusal.reason == "BAD_PAGE_TOKEN"


def test_rejected_lines_are_listed_without_their_text(server: Server, completed: UUID) -> None:
    request = pb.ListRejectedRowsRequest(validation_id=str(completed), page_size=2)
    pages = all_pages(server.stub.ListRejectedRows, request, "rejected_rows")
    assert [[row.record_number for row in page] for page in pages] == [[6, 7], [8]]
    row = pages[0][0]
    assert (row.column, row.reason) == ("service_date", "bad_date")
    assert row.message not in {"", "bad_date"}
    assert PATIENT not in str(pages)
    assert server.stub.ListRejectedRows(request).total_rejected == 3


def test_a_completed_run_is_summed_up(server: Server, completed: UUID) -> None:
    request = pb.GetValidationSummaryRequest(validation_id=str(completed))
    summary = server.stub.GetValidationSummary(request, metadata=(("accept-language", "fr"),))
    assert summary.validation.validation_id == str(completed)
    assert (summary.at_risk.units, summary.at_risk.nanos, summary.at_risk.currency_code) == (123, 450_000_000, "CAD")
    assert (summary.potential_gain.units, summary.potential_gain.nanos) == (0, 50_000_000)
    assert (summary.reversal_rows, summary.result_counts.error) == (2, 1)
    assert (summary.scenarios[0].count, summary.scenarios[0].severity) == (3, result_pb2.SEVERITY_ERROR)
    assert summary.scenarios[0].rule_name not in {"", "office_fee"}
    assert (summary.passes[0].count, summary.rejections[0].count) == (4, 3)
    assert (summary.days[0].service_date, summary.days[0].rows, summary.days[0].result_counts.error) == (
        "2025-01-01",
        4,
        1,
    )


def test_a_run_without_results_yet_says_so(server: Server) -> None:
    run_id = str(submit(server))
    for call in (
        lambda: server.stub.GetValidationSummary(pb.GetValidationSummaryRequest(validation_id=run_id)),
        lambda: server.stub.ListValidationResults(pb.ListValidationResultsRequest(validation_id=run_id)),
        lambda: server.stub.ListRejectedRows(pb.ListRejectedRowsRequest(validation_id=run_id)),
    ):
        refusal = refused(call)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "WRONG_STATE")
        assert refusal.params["status"] == "QUEUED"


@pytest.mark.parametrize("owner", ["somebody", None])
def test_whoever_does_not_own_a_run_cannot_tell_that_it_exists(
    server: Server, completed: UUID, owner: str | None
) -> None:
    run_id = str(completed) if owner else str(uuid4())
    with server.database.connection() as conn:
        conn.execute("UPDATE validation_runs SET owner = COALESCE(%s, owner)", (owner,))
    for call in (
        lambda: server.stub.GetValidation(pb.GetValidationRequest(validation_id=run_id)),
        lambda: server.stub.GetValidationSummary(pb.GetValidationSummaryRequest(validation_id=run_id)),
        lambda: server.stub.ListValidationResults(pb.ListValidationResultsRequest(validation_id=run_id)),
        lambda: server.stub.ListRejectedRows(pb.ListRejectedRowsRequest(validation_id=run_id)),
    ):
        refusal = refused(call)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "VALIDATION_NOT_FOUND")
        assert refusal.details["ResourceInfo"].resource_name == run_id
    if owner:
        assert not server.stub.ListValidations(pb.ListValidationsRequest()).validations


def test_runs_are_listed_newest_first_and_filtered(server: Server) -> None:
    ids = [str(submit(server, f"{n}".encode(), file_name=f"File{n}.csv", batch_id=f"b{n % 2}")) for n in range(5)]
    Worker(server, UUID(ids[0])).start()

    def listed(**asked: Any) -> list[str]:
        return [
            run.validation_id for run in server.stub.ListValidations(pb.ListValidationsRequest(**asked)).validations
        ]

    assert listed() == ids[::-1]
    assert listed(statuses=[validation_pb2.VALIDATION_STATUS_PROCESSING]) == ids[:1]
    assert listed(batch_id="b1") == [ids[3], ids[1]]
    assert listed(file_name_contains="fILE3") == [ids[3]]
    now = datetime.now(UTC)
    later, earlier = Timestamp(), Timestamp()
    later.FromDatetime(now + timedelta(minutes=1))
    earlier.FromDatetime(now - timedelta(minutes=1))
    assert listed(created_from=later) == listed(created_before=earlier) == []
    assert len(listed(created_from=earlier, created_before=later)) == 5
    pages = all_pages(server.stub.ListValidations, pb.ListValidationsRequest(page_size=2), "validations")
    assert [run.validation_id for page in pages for run in page] == ids[::-1]
    token = server.stub.ListValidations(pb.ListValidationsRequest(page_size=2)).next_page_token
    assert refused(lambda: listed(page_token=token, batch_id="b1")).reason == "BAD_PAGE_TOKEN"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("page_size", -5),
        ("statuses", [77]),
        ("batch_id", "x" * 200),
        ("created_from", Timestamp(seconds=1 << 60)),
        ("created_before", Timestamp(nanos=-1)),
    ],
)
def test_filters_of_runs_that_cannot_be_read_are_named(server: Server, field: str, value: Any) -> None:
    refusal = refused(lambda: server.stub.ListValidations(pb.ListValidationsRequest(**{field: value})))
    assert (refusal.code, refusal.params["field"]) == (grpc.StatusCode.INVALID_ARGUMENT, field)
