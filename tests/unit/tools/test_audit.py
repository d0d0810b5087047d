"""The audit of dependencies, with a service that is not one: something known, nothing known, nobody there."""

import io
import json
import os
import time
import urllib.error
from pathlib import Path
from types import SimpleNamespace

import audit
import pytest

LOCKED = """sound==1 ; python_version >= "3.11" \\
    --hash=sha256:aa \\
    --hash=sha256:bb
holed==2 \\
    --hash=sha256:cc
"""
WEAK = {"id": "CVE-1", "fix_versions": ["3"]}


class Service:
    """Answers as OSV does, counting the questions; and stands for pip-audit, noting what it was to look at."""

    def __init__(self, known=(), answer=None):
        self.known, self.answer, self.questions, self.looked_at = known, answer, [], ""

    def urlopen(self, request, timeout):
        assert timeout <= 10
        self.questions.append(request.full_url)
        if isinstance(self.answer, Exception):
            raise self.answer
        queries = json.loads(request.data)["queries"]
        results = [{"vulns": [{"id": "CVE-1"}]} if q["package"]["name"] in self.known else {} for q in queries]
        return io.BytesIO(self.answer or json.dumps({"results": results}).encode())

    def pip_audit(self, command, **_):
        self.looked_at = Path(command[-1]).read_text()
        entries = [{"name": name, "version": version, "vulns": [WEAK]} for name, version in audit.pins(self.looked_at)]
        return SimpleNamespace(stdout=json.dumps({"dependencies": entries}), returncode=1)


@pytest.fixture
def serve(monkeypatch, tmp_path):
    def serve(**how):
        service = Service(**how)
        monkeypatch.setattr(audit.urllib.request, "urlopen", service.urlopen)
        monkeypatch.setattr(audit.subprocess, "run", service.pip_audit)
        return service

    monkeypatch.setattr(audit, "locked", lambda: LOCKED)
    monkeypatch.setattr(audit, "STAMP", tmp_path / "stamp")
    return serve


def test_what_is_known_fails_and_is_named_with_its_cure(serve, capsys):
    service = serve(known=["holed"])
    assert audit.main([]) == 1
    assert capsys.readouterr().out == "audit: holed 2: CVE-1, fixed in 3\n"
    assert service.looked_at == "holed==2 \\\n    --hash=sha256:cc\n", "that alone, with its hashes"
    assert audit.main([]) == 1, "and the next time, too"


def test_nothing_known_passes_and_is_asked_once_a_day(serve, capsys, monkeypatch):
    service = serve()
    assert audit.main([]) == audit.main([]) == 0
    assert service.questions == ["https://api.osv.dev/v1/querybatch"]
    assert "2 packages" in capsys.readouterr().out
    monkeypatch.setattr(audit, "locked", lambda: LOCKED.replace("sound==1", "sound==2"))
    assert audit.main([]) == 0
    yesterday = time.time() - 24 * 60 * 60
    os.utime(audit.STAMP, (yesterday, yesterday))
    assert audit.main([]) == 0
    assert len(service.questions) == 3, "another lock, another day"


@pytest.mark.parametrize(
    "answer",
    [
        urllib.error.URLError("no network"),
        TimeoutError(),
        ConnectionResetError(),
        b"<html>Please log in</html>",
        b"{}",
        b'{"results": []}',
        b'{"results": [1, 2]}',
    ],
)
def test_nobody_there_passes_and_is_said_unless_somebody_must_be(serve, capsys, answer):
    serve(answer=answer)
    assert audit.main([]) == 0
    assert capsys.readouterr().out.startswith("not audited: https://api.osv.dev ")
    assert audit.main(["--strict"]) == 1
    assert not audit.STAMP.exists()


def test_what_pip_audit_learns_nothing_about_is_known_nevertheless(serve, capsys, monkeypatch):
    serve(known=["holed"])
    monkeypatch.setattr(audit.subprocess, "run", lambda *_, **__: SimpleNamespace(stdout="", returncode=1))
    assert audit.main([]) == 1
    assert capsys.readouterr().out == "audit: holed 2: CVE-1\n"
