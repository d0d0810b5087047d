"""Every finding has a text in both languages."""

import re
from pathlib import Path

import pytest

from facnet_grpc import doctor
from facnet_grpc.doctor.report import Finding, report
from facnet_grpc.texts.language import Locale

SOURCE = "".join(path.read_text() for path in Path(doctor.__file__).parent.glob("*.py"))
NAMES = sorted(set(re.findall(r'Finding\("(\w+)"', SOURCE)))
CODES = sorted(set(re.findall(rf'"((?:{"|".join(NAMES)})_[a-z]+)"', SOURCE)) - {"redis_version"})


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("locale", Locale)
def test_every_code_has_a_text(code, locale):
    lines = []
    finding = Finding(code.partition("_")[0], ok=False, code=code, value=7)
    assert not report(iter([finding]), lines.append, locale=locale, as_json=False)
    assert re.fullmatch(r"✗ \w[^:]+: [^?]+\n", lines[0])


def test_a_count_has_its_plural():
    lines = []
    findings = [Finding("tokens", ok=True, code="tokens_ok", value=count) for count in (1, 2)]
    assert report(iter(findings), lines.append, locale=Locale.EN, as_json=False)
    assert lines == ["✓ Tokens: 1 key of the issuer\n", "✓ Tokens: 2 keys of the issuer\n"]
