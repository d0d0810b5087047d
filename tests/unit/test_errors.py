import re

import pytest

from facnet_grpc import errors
from facnet_grpc.errors import FacnetError, LeaseLost, NotFound, Reason, TransientError
from facnet_grpc.gen.facnet.v1 import error_reason_pb2


def _tree(kind, depth=0):
    yield depth, kind.__name__
    for child in kind.__subclasses__():
        yield from _tree(child, depth + 1)


def test_the_drawing_is_the_tree():
    drawn = [
        (len(match[1]) // 4, match[2])
        for match in re.finditer(r"^    ((?:[│├└ ][ ─]{2} )*)(\w+)(?:  .*)?$", errors.__doc__, re.MULTILINE)
    ]

    assert drawn == list(_tree(FacnetError))


def test_reasons_are_those_of_the_api():
    prefix = "ERROR_REASON_"
    names = {name.removeprefix(prefix) for name in error_reason_pb2.ErrorReason.keys()} - {"UNSPECIFIED"}  # noqa: SIM118 - a protobuf enum is no mapping

    assert {reason.value for reason in Reason} == names


def test_reasons_are_named_as_they_are_spelt():
    assert [reason for reason in Reason if reason.name != reason.value] == []


@pytest.mark.parametrize("kind", [name for _, name in _tree(FacnetError)])
def test_every_kind_has_a_reason_of_its_own_accord(kind):
    assert getattr(errors, kind)().reason in Reason


def test_an_error_says_its_reason_and_params():
    error = NotFound(Reason.UPLOAD_NOT_FOUND, upload_id="u", attempt=2)

    assert error.reason is Reason.UPLOAD_NOT_FOUND
    assert error.params == {"upload_id": "u", "attempt": 2}
    assert str(error) == "UPLOAD_NOT_FOUND attempt=2 upload_id='u'"


def test_a_lost_lease_is_transient():
    assert isinstance(LeaseLost(), TransientError)
    assert LeaseLost().reason is Reason.LEASE_LOST
