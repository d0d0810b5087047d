"""Every figure in one run, beside what it has to reach: `make bench`, `make bench-large`."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks import end_to_end, instead, reading, uploading
from benchmarks.end_to_end import CORE, Size
from benchmarks.figures import Figure, machine, shown, tell_missed
from benchmarks.stack import Stack, running
from facnet_grpc.sample.writer import write_sample

MILLION = 1_000_000
UPLOAD_BYTES = 256 << 20


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--large", action="store_true", help="10,000,000 lines as well")
    parser.add_argument("--times", type=int, default=3, help="how often, for medians (default: 3)")
    parser.add_argument("--latency-runs", type=int, default=200)
    parser.add_argument("--only", choices=("files", "latency", "upload", "reading", "instead"), action="append")
    arguments = parser.parse_args()
    wanted = arguments.only or ("latency", "files", "upload", "reading", "instead")
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with running() as stack:
            parts: dict[str, Callable[[], list[Figure]]] = {
                "latency": lambda: end_to_end.latency(stack, folder, arguments.latency_runs),
                "files": lambda: _files(stack, folder, arguments.times, large=arguments.large),
                "upload": lambda: uploading.figures(stack, folder, UPLOAD_BYTES, arguments.times),
            }
            measured = [figure for part, take in parts.items() if part in wanted for figure in shown(take())]
        if "reading" in wanted:
            measured += shown(reading.figures(folder, MILLION, arguments.times))
        if "instead" in wanted:
            measured += shown(instead.figures(_sample(folder)))
    tell_missed(measured)


def _files(stack: Stack, folder: Path, times: int, *, large: bool) -> list[Figure]:
    million = Size.of(stack, folder, MILLION, times)
    core = Size.of(stack, folder, MILLION, times, CORE)
    figures = [
        *million.figures("1,000,000 lines, all rules"),
        *core.figures("1,000,000 lines, core rules", at_most=1.5),
        Figure("1,000,000 lines, all rules: worker's peak memory", million.peak_mb, "MB"),
        Figure("1,000,000 lines, core rules: worker's peak memory", core.peak_mb, "MB", at_most=400),
    ]
    if large:
        ten = Size.of(stack, folder, 10 * MILLION, 1, CORE)
        figures += [
            *ten.figures("10,000,000 lines, core rules"),
            Figure("10,000,000 lines, core rules: worker's peak memory", ten.peak_mb, "MB", at_most=1200),
            Figure("time at 10,000,000 lines ÷ at 1,000,000", ten.seconds / core.seconds, at_most=11),
        ]
    return figures


def _sample(folder: Path) -> Path:
    file = folder / f"{MILLION}.csv"
    if not file.exists():
        write_sample(MILLION, file)
    return file


if __name__ == "__main__":
    main()
