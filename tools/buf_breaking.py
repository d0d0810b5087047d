"""Check that the API breaks nobody: `buf breaking` of `protos/` against the committed image of the last release.

`--accept` makes the present protos the ones to compare with; that is part of a release.
"""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUF = ROOT / ".venv" / "bin" / "buf"
BASELINE = ROOT / "tools" / "api_baseline.binpb"


def check(protos: Path, baseline: Path) -> int:
    """Compare. Returns buf's exit status: 0 if nothing breaks; buf has said what does."""
    return _buf(protos, "breaking", "--against", f"{baseline}#format=binpb")


def accept(protos: Path, baseline: Path) -> int:
    """Write the image of the present protos, without what only people read. Returns buf's exit status."""
    return _buf(protos, "build", "--exclude-source-info", "-o", f"{baseline}#format=binpb")


def _buf(folder: Path, *words: str) -> int:
    return subprocess.run([BUF, *words], cwd=folder, check=False).returncode  # noqa: S603 - our own words


def main(arguments: list[str] | None = None) -> int:
    """Check, or with `--accept` renew the image. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accept", action="store_true", help="make the present protos the ones to compare with")
    if parser.parse_args(arguments).accept:
        return accept(ROOT, BASELINE)
    return check(ROOT, BASELINE)


if __name__ == "__main__":
    raise SystemExit(main())
