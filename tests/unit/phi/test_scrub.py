"""What a log field may be, tried with everything that a person could be hidden in. All of it is invented."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import IntEnum
from pathlib import Path
from uuid import UUID

import pytest

from facnet_grpc.model.run import RunStatus
from facnet_grpc.phi.scrub import MAX_TEXT, scrub_fields, scrub_text, scrub_value

ID = UUID("abcd1234-5678-4abc-8def-abcd12345678")  # looks like a NAM twice


class Level(IntEnum):
    HIGH = 3


@pytest.mark.parametrize(
    "nam",
    [
        "TESX80010199",
        "tesx80010199",
        "TESX 8001 0199",
        "TESX-8001-0199",
        "TESX8001019A",
        "TESXxxxx0199",
        "TESXXXXX0199",
        "TESX****0199",
        "éLÈX80010199",
    ],
)
@pytest.mark.parametrize("around", ["{}", "bad cell {} in line 3", "x{}x", "nam={};", "'{}'", "_{}", "{}-{}"])
def test_insurance_numbers_are_masked(nam, around):
    text = scrub_text(around.format(nam, nam))

    assert nam not in text
    assert "0199" not in text
    assert "***" in text


@pytest.mark.parametrize(
    "text",
    [
        str(ID),
        f"validation-{ID}",
        "pt_" + "abcd12345678" + "0" * 20,
        "abcd12345678" * 5 + "0000",
        "office_fee.threshold_19928_registered",
        "2025-02-26T09:30:00Z",
        "facnet_grpc/ingest/reader.py:120",
        "08857",
        "20250226",
    ],
)
def test_ids_codes_and_dates_are_kept(text):
    assert scrub_text(text) == text


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("1234567-12345 | Martin, Zoé - Médecine", "Martin"),
        ("for Dr Martin", "Martin"),
        ("for Dre. Élie-Côté", "Élie"),
        ("postgresql://me:hunter2@db:5432/x", "hunter2"),
        ("redis://:hunter2@host/0", "hunter2"),
        ("rediss://u:a:b@c@host/0", "a:b@c"),
        ("host=db password=hunter2 user=me", "hunter2"),
        ("PASSWORD = 'hunter 2'", "hunter 2"),
        ("x?user=me&password=hunter2&z=1", "hunter2"),
    ],
)
def test_doctors_and_passwords_are_masked(text, secret):
    assert secret not in scrub_text(text)
    assert "***" in scrub_text(text)


def test_what_surrounds_a_password_is_kept():
    assert scrub_text("postgresql://me:hunter2@db:5432/x") == "postgresql://me:***@db:5432/x"


def test_long_texts_are_cut_and_lines_joined():
    assert scrub_text("a\nb\r\nc") == "a b c"
    assert len(scrub_text("é " * 5000)) == MAX_TEXT + 1


@pytest.mark.parametrize("name", ["patient", "patient_key", "nam", "raw", "doctor_name", "doctor_key", "file_name"])
def test_fields_of_persons_are_struck_out_by_name(name):
    assert scrub_fields({name: "Tremblay", "nested": {name: "Tremblay"}}) == {name: "***", "nested": {name: "***"}}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (1.5, 1.5),
        (ID, str(ID)),
        (RunStatus.QUEUED, "QUEUED"),
        (Level.HIGH, 3),
        (date(2025, 2, 26), "2025-02-26"),
        (datetime(2025, 2, 26, 1, tzinfo=UTC), "2025-02-26 01:00:00+00:00"),
        (timedelta(seconds=3), "0:00:03"),
        (Path("/srv/blobs"), "/srv/blobs"),
        ("short", "short"),
        (["a", 1, None], ["a", 1, None]),
        ({"b", "a"}, ["a", "b"]),
        ({"count": 2}, {"count": 2}),
    ],
)
def test_kinds_that_are_let_through(value, shown):
    assert scrub_value(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b"TESX80010199", "<bytes>"),
        (bytearray(b"x"), "<bytearray>"),
        (memoryview(b"x"), "<memoryview>"),
        (ValueError("Tremblay"), "<ValueError>"),
        (Decimal(1), "<Decimal>"),
        (object(), "<object>"),
        (iter([1]), "<list_iterator>"),
    ],
)
def test_other_kinds_are_named_only(value, shown):
    assert scrub_value(value) == shown


def test_nested_values_are_scrubbed_and_bounded():
    deep: list = ["TESX80010199"]
    for _ in range(10):
        deep = [deep]

    assert scrub_value({"a": ["TESX80010199"]}) == {"a": ["***"]}
    assert scrub_value({"TESX80010199": 1}) == {"***": 1}
    assert scrub_value(deep) == [[["<list>"]]]
    assert len(scrub_value(list(range(1000)))) == 20
    assert len(scrub_value({str(n): n for n in range(1000)})) == 20
