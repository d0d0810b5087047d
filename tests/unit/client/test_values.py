"""Values: all of their messages, immutable, and silent about persons."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import get_args, get_type_hints

import pytest

from facnet_client import operations, reference, rules, values
from facnet_client.convert import Value, timestamp
from facnet_grpc.gen.facnet.v1 import (
    operations_service_pb2,
    reference_service_pb2,
    result_pb2,
    rule_service_pb2,
    validation_pb2,
)
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb2

# The messages that calls answer with; those inside them are found.
ANSWERS = [
    (values.Submission, pb2.SubmitValidationResponse),
    (values.Update, pb2.WatchValidationResponse),
    (values.Validation, validation_pb2.Validation),
    (values.Summary, pb2.GetValidationSummaryResponse),
    (values.Result, result_pb2.ValidationResult),
    (values.RejectedRow, pb2.RejectedRow),
    (values.Record, pb2.BillingRecord),
    (values.LogEntry, pb2.LogEntry),
    (values.Batch, pb2.GetBatchResponse),
    (values.ResultChange, pb2.ResultChange),
    (values.RevalidationSummary, pb2.RevalidationSummary),
    (operations.QueueStats, operations_service_pb2.GetQueueStatsResponse),
    (operations.FailedJob, operations_service_pb2.FailedJob),
    (operations.Replay, operations_service_pb2.ReplayFailedJobResponse),
    (operations.Purge, operations_service_pb2.PurgeValidationsResponse),
    (reference.ReferenceVersion, reference_service_pb2.GetReferenceVersionResponse),
    (reference.BillingCode, reference_service_pb2.BillingCode),
    (reference.Establishment, reference_service_pb2.Establishment),
    (reference.ReferenceImport, reference_service_pb2.ImportReferenceResponse),
    (rules.Rule, rule_service_pb2.Rule),
]
# What messages have and values leave out: the place of a result among all, and a cell that may be about a person.
LEFT_OUT = {("ValidationResult", "result_number"), ("RejectedRow", "raw")}


def missing(kind, message, inside=""):
    """Yield the fields of a message, and of those in it, that no field of the value is made from."""
    hints = get_type_hints(kind)
    read = {
        kind.sources.get(name) or name.removesuffix("_cents").removesuffix("_seconds"): hint
        for name, hint in hints.items()
        if name != "sources"
    }
    for field in message.fields:
        path = inside + field.name
        if any(source.startswith(f"{path}.") for source in read):
            yield from missing(kind, field.message_type, f"{path}.")
            continue
        if path not in read:
            yield message.name, field.name
            continue
        for inner in _values_in(read[path]):
            yield from missing(inner, field.message_type)


def _values_in(hint):
    if isinstance(hint, type) and issubclass(hint, Value):
        return [hint]
    if getattr(hint, "__origin__", None) is not None and len(get_args(hint)) == 2 and ... not in get_args(hint):
        return []  # a mapping of pairs
    return [one for part in get_args(hint) for one in _values_in(part)]


@pytest.mark.parametrize(("kind", "message"), ANSWERS, ids=lambda one: one.__name__)
def test_nothing_of_a_message_is_forgotten(kind, message):
    assert set(missing(kind, message.DESCRIPTOR)) <= LEFT_OUT


@pytest.mark.parametrize(("kind", "message"), ANSWERS, ids=lambda one: one.__name__)
def test_an_empty_message_is_a_value(kind, message):
    assert kind.from_message(message()) == kind.from_message(message())


@pytest.mark.parametrize(
    "text",
    [
        repr(values.Record.from_message(pb2.BillingRecord(patient_key="TREJ80010112", doctor="Dr Roy", agency="x"))),
        repr(
            values.Result.from_message(
                result_pb2.ValidationResult(patient_key="TREJ80010112", doctor="Dr Roy", message="TREJ80010112")
            )
        ),
        repr(values.Validation.from_message(validation_pb2.Validation(file_name="Roy TREJ80010112.csv"))),
        repr(values.RejectedRow.from_message(pb2.RejectedRow(message="TREJ80010112", raw="Roy"))),
    ],
)
def test_no_person_shows_when_a_value_is_printed(text):
    assert "TREJ" not in text
    assert "Roy" not in text


def test_what_a_value_is_about_shows_when_it_is_printed():
    result = values.Result.from_message(
        result_pb2.ValidationResult(rule_id="office_fee", record_number=7, severity=result_pb2.SEVERITY_ERROR)
    )
    assert repr(result).startswith("Result(rule_id='office_fee', severity=<Severity.ERROR: 'error'>")
    assert "record_number=7" in repr(result)


def test_values_do_not_change():
    run = values.Validation.from_message(validation_pb2.Validation(validation_id="a"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        run.validation_id = "b"


def test_what_may_be_missing_is_none():
    update = values.Update.from_message(pb2.WatchValidationResponse())
    assert (update.queue_position, update.eta_seconds, update.error, update.batch) == (None, None, None, None)
    record = values.Record.from_message(pb2.BillingRecord(units=0))
    assert (record.units, record.paid_cents, record.preliminary_cents) == (0, None, 0)


def test_a_change_has_what_was_and_what_would_be():
    change = values.ResultChange.from_message(
        pb2.ResultChange(kind=pb2.CHANGE_KIND_ADDED, after=result_pb2.ValidationResult(rule_id="r"))
    )
    assert change.before is None
    assert change.after.rule_id == "r"


def test_times_are_in_utc_and_local_ones_are_sent_as_such():
    message = validation_pb2.Validation()
    message.create_time.FromJsonString("2025-03-01T12:00:00Z")
    run = values.Validation.from_message(message)
    assert run.create_time == datetime(2025, 3, 1, 12, tzinfo=UTC)
    assert run.end_time is None
    local = datetime(2025, 3, 1, 12)  # noqa: DTZ001 - that is what it is about
    assert timestamp(local).ToDatetime(tzinfo=UTC) == local.astimezone(UTC)
    assert timestamp(None) is None


def test_mappings_are_read_from_maps_texts_and_pairs():
    run = validation_pb2.Validation(labels={"b": "2", "a": "1"})
    assert list(values.Validation.from_message(run).labels.items()) == [("a", "1"), ("b", "2")]
    rule = rules.Rule.from_message(
        rule_service_pb2.Rule(
            name=rule_service_pb2.LocalizedText(fr="Un", en="One"),
            scenarios=[rule_service_pb2.RuleScenario(scenario="s", title=rule_service_pb2.LocalizedText(fr="T"))],
        )
    )
    assert rule.name == {"fr": "Un", "en": "One"}
    assert rule.scenarios == {"s": {"fr": "T", "en": ""}}
    assert rule.disabled_reason == {}
