"""Who sees what of persons."""

import pytest

from facnet_grpc.model.access import LOCAL, PHI_READ, Caller, Role
from facnet_grpc.phi.redaction import MAX_RAW, Redactor, person_view

REDACTOR = Redactor(b"k" * 32)


@pytest.mark.parametrize(
    "caller", [LOCAL, Caller(""), Caller("a", roles=frozenset(Role)), Caller("a", scopes=frozenset({"phi:write"}))]
)
def test_nobody_sees_persons_without_the_scope(caller):
    assert person_view(caller, REDACTOR) is REDACTOR
    assert person_view(caller, REDACTOR).raw("TREM12345678") == ""


def test_with_the_scope_they_are_as_they_are():
    seen = person_view(Caller("a", scopes=frozenset({PHI_READ})), REDACTOR)
    said = (seen.patient("TREM12345678"), seen.doctor_key("1234567"), seen.doctor_name("Martin, Marie"))
    assert said == ("TREM12345678", "1234567", "Martin, Marie")
    assert (seen.patient(None), seen.doctor_key(None), seen.doctor_name(None), seen.raw(None)) == ("", "", "", "")
    assert seen.raw("x" * 5000) == "x" * MAX_RAW
    assert seen.is_doctor("1234567", "1234567")
