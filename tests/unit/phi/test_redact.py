import hashlib
import hmac
import re

import pytest

from facnet_grpc.phi.redaction import Redactor

KEY = b"a key for tests that is long enough"
NAM = "TESX80010199"  # invented


@pytest.fixture(name="redactor")
def _redactor():
    return Redactor(KEY)


def test_known_answers(redactor):
    """Pseudonyms are stored by callers: another answer for the same key would break what they keep."""
    assert redactor.patient(NAM) == "pt_bf13f442a941e94de595957a24e96655"
    assert redactor.doctor_key("1234567") == "dr_427f0c62afcd70e1fc8311b3e74d73ef"


def test_construction_is_hmac_sha256_cut_to_128_bits(redactor):
    expected = hmac.new(KEY, b"facnet.v1.patient\0" + NAM.encode(), hashlib.sha256).hexdigest()[:32]

    assert redactor.patient(NAM) == f"pt_{expected}"
    assert re.fullmatch(r"pt_[0-9a-f]{32}", redactor.patient("ABCDxxxx1234 ÉLÈVE, ZOÉ"))


def test_doctor_and_patient_of_the_same_number_differ(redactor):
    assert redactor.patient("1234567")[3:] != redactor.doctor_key("1234567")[3:]


def test_another_key_gives_another_pseudonym(redactor):
    assert Redactor(b"another key").patient(NAM) != redactor.patient(NAM)


@pytest.mark.parametrize("nothing", [None, ""])
def test_nobody_has_no_pseudonym(redactor, nothing):
    assert (redactor.patient(nothing), redactor.doctor_key(nothing), redactor.doctor_name(nothing)) == ("", "", "")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Martin, Zoé", "Dr M***"),
        ("élie, Jo", "Dr É***"),
        ("  D'Amour, X", "Dr D***"),
        ("Tremblay", "Dr T***"),
        (", Zoé", "Dr ***"),
        ("123", "Dr ***"),
        ("   ", ""),
    ],
)
def test_doctor_name_keeps_its_initial(redactor, name, shown):
    assert redactor.doctor_name(name) == shown


def test_secret_is_not_shown(redactor):
    assert "key" not in repr(redactor)


def test_no_secret_is_refused():
    with pytest.raises(ValueError, match="needed"):
        Redactor(b"")


def test_pseudonyms_under_an_older_secret_are_still_understood():
    old, new = Redactor(b"old" * 16), Redactor(b"new" * 16, b"old" * 16)
    assert new.doctor_key("1234567") != old.doctor_key("1234567")
    assert new.is_doctor("1234567", old.doctor_key("1234567"))
    assert new.is_doctor("1234567", new.doctor_key("1234567"))
    assert not new.is_doctor("7654321", old.doctor_key("1234567"))
    assert not new.is_doctor("1234567", "1234567")
