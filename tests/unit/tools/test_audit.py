"""The audit of dependencies: what it says, and when it fails."""

import audit
import pytest

SOUND = {"name": "sound", "version": "1", "vulns": []}
SKIPPED = {"name": "skipped", "skip_reason": "not found"}
HOLED = {"name": "holed", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["3"]}]}


@pytest.mark.parametrize(
    ("entries", "status", "strict_status"),
    [([SOUND], 0, 0), ([SOUND, SKIPPED], 0, 1), ([SOUND, HOLED], 1, 1), ([], 0, 0)],
)
def test_known_vulnerabilities_fail_and_what_nobody_knows_only_if_it_must(entries, status, strict_status):
    assert audit.judge({"dependencies": entries}, strict=False) == status
    assert audit.judge({"dependencies": entries}, strict=True) == strict_status


def test_being_offline_is_tolerated_and_said(capsys):
    assert audit.judge(None, strict=False) == 0
    assert audit.judge(None, strict=True) == 1
    assert "network" in capsys.readouterr().out


def test_what_is_found_is_named_with_its_cure(capsys):
    audit.judge({"dependencies": [HOLED]}, strict=False)
    assert "holed 2: CVE-1, fixed in 3" in capsys.readouterr().out
