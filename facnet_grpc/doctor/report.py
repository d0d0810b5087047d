"""What a check found, and how it is printed: one line per check, as text or as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from facnet_grpc.texts.language import Locale
from facnet_grpc.texts.render import sentence


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. Its texts are `doctor.<name>` and `doctor.<code>`, in which `{value}` may stand."""

    name: str
    ok: bool
    code: str
    value: str | int = ""


def report(findings: Iterator[Finding], write: Callable[[str], object], *, locale: Locale, as_json: bool) -> bool:
    """Write each finding as soon as it is there; return whether all checks passed."""
    healthy = True
    for finding in findings:
        healthy &= finding.ok
        text = sentence(f"doctor.{finding.code}", locale, value=finding.value)
        if as_json:
            line = json.dumps({"check": finding.name, "ok": finding.ok, "code": finding.code, "text": text})
        else:
            name, mark = sentence(f"doctor.{finding.name}", locale), "✓" if finding.ok else "✗"
            line = sentence("doctor.line", locale, mark=mark, name=name, text=text)
        write(f"{line}\n")
    return healthy
