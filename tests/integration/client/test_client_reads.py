"""Reading: pages, values, errors."""

from __future__ import annotations

from datetime import UTC, datetime

import grpc
import pytest
from fake_server import RUN_ID, rich_status

from facnet_client import Certainty, FacnetError, ServerError, Severity, Status
from facnet_grpc.gen.facnet.v1 import money_pb2, result_pb2, validation_pb2
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb2


def test_lists_fetch_page_after_page_only_as_they_are_read(client, fake):
    fake.runs = [validation_pb2.Validation(validation_id=str(number)) for number in range(25)]
    runs = client.list(
        page_size=10,
        statuses=[Status.FAILED],
        batch_id="b",
        file_name_contains="x",
        created_from=datetime(2025, 3, 1, tzinfo=UTC),
    )
    assert next(runs).validation_id == "0"
    assert len(fake.requests) == 1
    assert [run.validation_id for run in runs] == [str(number) for number in range(1, 25)]
    assert len(fake.requests) == 3
    first = fake.requests[0]
    assert list(first.statuses) == [validation_pb2.VALIDATION_STATUS_FAILED]
    assert (first.batch_id, first.file_name_contains) == ("b", "x")
    assert first.created_from.ToDatetime(tzinfo=UTC) == datetime(2025, 3, 1, tzinfo=UTC)
    assert not first.HasField("created_before")


def test_a_result_has_exact_money_and_whole_numbers(client, fake):
    message = result_pb2.ValidationResult(
        rule_id="office_fee",
        severity=result_pb2.SEVERITY_ERROR,
        certainty=result_pb2.CERTAINTY_LIKELY,
        record_number=7,
        affected_records=[7, 9],
        ramq_ids=["12345678901", ""],
        at_risk=money_pb2.Money(currency_code="CAD", units=64, nanos=800_000_000),
    )
    message.data.update({"required": 6, "share": 0.5, "codes": ["19928", 2], "deep": {"b": True, "a": None}})
    fake.results = [message, result_pb2.ValidationResult(severity=99)]
    first, second = client.results(RUN_ID, severities=[Severity.ERROR], rule_ids=["office_fee"])
    assert first.at_risk_cents == 6480
    assert first.potential_gain_cents == 0
    assert first.certainty is Certainty.LIKELY
    assert first.affected_records == (7, 9)
    assert repr(first.data) == repr(
        {"codes": ["19928", 2], "deep": {"a": None, "b": True}, "required": 6, "share": 0.5}
    )
    assert second.record_number is None
    assert second.severity is Severity.UNSPECIFIED
    assert list(fake.requests[0].severities) == [result_pb2.SEVERITY_ERROR]


def test_rejected_lines_are_read_to_the_last_page(client, fake):
    fake.rejects = [pb2.RejectedRow(record_number=number, reason="bad_date") for number in range(1, 8)]
    assert [row.record_number for row in client.rejects(RUN_ID, page_size=3)] == list(range(1, 8))


def test_a_summary_is_read_whole(client, fake):
    fake.summary = pb2.GetValidationSummaryResponse(
        validation=fake.validation,
        at_risk=money_pb2.Money(units=1, nanos=10_000_000),
        scenarios=[pb2.ScenarioSummary(rule_id="r", count=2, severity=result_pb2.SEVERITY_WARNING)],
        not_evaluable=[pb2.NotEvaluable(rule_id="r2", missing_columns=["units"])],
        days=[pb2.DaySummary(service_date="2025-03-01", rows=3)],
    )
    summary = client.summary(RUN_ID)
    assert summary.at_risk_cents == 101
    assert summary.scenarios[0].severity is Severity.WARNING
    assert summary.not_evaluable[0].missing_columns == ("units",)
    assert summary.days[0].rows == 3


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_every_status_becomes_one_of_our_errors(client, fake, code):
    fake.refuse = rich_status(code, "SOME_REASON", "Un texte.")
    with pytest.raises(FacnetError) as caught:
        next(client.watch(RUN_ID))
    assert caught.value.reason == "SOME_REASON"
    assert caught.value.message == "Un texte."
    assert caught.value.status is code


def test_an_error_without_details_still_says_something(client, fake):
    fake.GetValidation = lambda request, context: context.abort(grpc.StatusCode.UNIMPLEMENTED, "not here")
    with pytest.raises(ServerError, match="UNIMPLEMENTED: not here"):
        client.get(RUN_ID)


def test_calls_that_only_read_are_repeated_while_the_server_restarts(client, fake):
    answers = iter([True, True, False])

    def flaky(request, context):
        if next(answers):
            context.abort(grpc.StatusCode.UNAVAILABLE, "restarting")
        return pb2.GetValidationResponse(validation=fake.validation)

    fake.GetValidation = flaky
    assert client.get(RUN_ID).validation_id == RUN_ID
