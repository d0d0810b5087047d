"""Check the locked dependencies against known vulnerabilities, with pip-audit. Tolerates being offline, and says so.

OSV is asked once about all that is in `uv.lock`, which tells what there is something against; pip-audit then looks at
that alone, and says what to do. Nothing is installed. An answer counts for a day. `--strict` makes it an error if
nobody answers.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from facnet_grpc.calendar import DAY_SECONDS

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
STAMP = ROOT / ".venv" / ".audited"
OSV = "https://api.osv.dev"
SECONDS = 10
EXPORT = ("export", "--quiet", "--locked", "--all-extras", "--all-groups", "--no-emit-project", "--no-header")
AUDIT = ("--require-hashes", "--disable-pip", "--progress-spinner", "off", "--vulnerability-service", "osv")
_PIN = re.compile(r"^(?P<name>[\w.-]+)==(?P<version>[^\s;]+)")

Pin = tuple[str, str]  # name, version


class Unanswered(Exception):
    """Nobody could be asked, or the answer made no sense."""


def main(arguments: list[str] | None = None) -> int:
    """Audit. Returns 1 if a vulnerability is known, or if nobody answers and somebody must."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strict", action="store_true", help="fail if nobody answers")
    parser.add_argument("--url", default=OSV, help="another service that speaks the protocol of OSV")
    told = parser.parse_args(arguments)
    requirements = locked()
    stamp = f"{told.url} {hashlib.sha256(requirements.encode()).hexdigest()}"
    if _is_fresh(stamp):
        print("audit: nothing known against the locked packages; asked less than a day ago")
        return 0
    try:
        findings = audit(requirements, told.url)
    except Unanswered as error:
        print(f"not audited: {error}")
        return int(told.strict)
    for line in findings:
        print(f"audit: {line}")
    if not findings:
        print(f"audit: nothing known against {len(pins(requirements))} packages")
        STAMP.write_text(stamp)
    return int(bool(findings))


def audit(requirements: str, url: str) -> list[str]:
    """Return a line for each known vulnerability of what a requirements file pins. Raises `Unanswered`."""
    suspects = ask(pins(requirements), url)
    if not suspects:
        return []
    entries = look(only(requirements, suspects), url)
    if entries is None:
        return [f"{name} {version}: {', '.join(ids)}" for (name, version), ids in suspects.items()]
    return list(vulnerabilities(entries))


def locked() -> str:
    """Return what is locked, with hashes, as a requirements file."""
    command = [BIN / "uv", *EXPORT]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout  # noqa: S603 - our own words


def pins(requirements: str) -> list[Pin]:
    """Return what a requirements file pins."""
    found = map(_PIN.match, requirements.splitlines())
    return [(match["name"], match["version"]) for match in found if match]


def only(requirements: str, wanted: Collection[Pin]) -> str:
    """Return the part of a requirements file that pins `wanted`, with the hashes."""
    entries = re.split(r"\n(?=\S)", requirements)
    return "\n".join(entry for entry in entries if any(pin in wanted for pin in pins(entry)))


def ask(packages: Sequence[Pin], url: str) -> dict[Pin, list[str]]:
    """Return the ids of what is known against each package, by one question. Raises `Unanswered`."""
    queries = [{"package": {"name": name, "ecosystem": "PyPI"}, "version": version} for name, version in packages]
    question = urllib.request.Request(  # noqa: S310 - https, unless a test says otherwise
        f"{url}/v1/querybatch", json.dumps({"queries": queries}).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(question, timeout=SECONDS) as answer:  # noqa: S310 - likewise
            results = json.load(answer)["results"]
        known = [[one["id"] for one in result.get("vulns", ())] for result in results]
        return {package: ids for package, ids in zip(packages, known, strict=True) if ids}
    except (OSError, urllib.error.URLError) as error:
        raise Unanswered(f"{url} does not answer ({type(error).__name__})") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Unanswered(f"{url} gives an answer that makes no sense") from None


def look(requirements: str, url: str) -> list[dict[str, Any]] | None:
    """Return what pip-audit says of a requirements file; None if it could not learn anything."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(requirements)
        file.flush()
        where = ("--osv-url", f"{url}/v1/query", "--timeout", str(SECONDS), "--format", "json")
        command = [BIN / "pip-audit", *AUDIT, *where, "--requirement", file.name]
        done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)  # noqa: S603 - likewise
    try:
        entries: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return None
    return entries


def vulnerabilities(entries: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield a line for each known vulnerability."""
    for entry in entries:
        for vulnerability in entry.get("vulns", ()):
            fixed = ", ".join(vulnerability.get("fix_versions", ())) or "no version yet"
            yield f"{entry['name']} {entry['version']}: {vulnerability['id']}, fixed in {fixed}"


def _is_fresh(stamp: str) -> bool:
    try:
        return STAMP.read_text() == stamp and time.time() - STAMP.stat().st_mtime < DAY_SECONDS
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main())
