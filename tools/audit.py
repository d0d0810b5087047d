"""Check the locked dependencies against known vulnerabilities, with pip-audit. Tolerates being offline, and says so.

Only what is in `uv.lock` is looked at, by name and version; nothing is installed. `--strict` makes it an error if
something could not be looked up.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
EXPORT = ("export", "--quiet", "--locked", "--all-extras", "--all-groups", "--no-emit-project")
AUDIT = ("--require-hashes", "--disable-pip", "--progress-spinner", "off", "--timeout", "10", "--format", "json")


def main(arguments: list[str] | None = None) -> int:
    """Audit. Returns 1 if a vulnerability is known, or if something could not be looked up and must be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strict", action="store_true", help="fail if something could not be looked up")
    strict = parser.parse_args(arguments).strict
    return judge(_audit(), strict=strict)


def judge(told: dict[str, Any] | None, *, strict: bool) -> int:
    """Say what pip-audit found, and return the exit status; None is that it could not ask anybody."""
    if told is None:
        print("audit: nobody could be asked about vulnerabilities; try again with the network")
        return int(strict)
    entries = told["dependencies"]
    for line in vulnerabilities(entries):
        print(f"audit: {line}")
    skipped = [entry["name"] for entry in entries if "skip_reason" in entry]
    if skipped:
        print(f"audit: {len(skipped)} of {len(entries)} could not be looked up")
    known = any(entry.get("vulns") for entry in entries)
    print(
        "audit: vulnerabilities are known" if known else f"audit: {len(entries) - len(skipped)} looked up, none known"
    )
    return int(known or (strict and bool(skipped)))


def vulnerabilities(entries: list[dict[str, Any]]) -> Iterator[str]:
    """Yield a line for each known vulnerability."""
    for entry in entries:
        for vulnerability in entry.get("vulns", ()):
            fixed = ", ".join(vulnerability.get("fix_versions", ())) or "no version yet"
            yield f"{entry['name']} {entry['version']}: {vulnerability['id']}, fixed in {fixed}"


def _audit() -> dict[str, Any] | None:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirements:
        subprocess.run([BIN / "uv", *EXPORT, "--output-file", requirements.name], cwd=ROOT, check=True)  # noqa: S603 - our own words
        command = [BIN / "pip-audit", *AUDIT, "--requirement", requirements.name]
        done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)  # noqa: S603 - likewise
    try:
        found = json.loads(done.stdout)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


if __name__ == "__main__":
    sys.exit(main())
