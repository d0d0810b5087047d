"""Lines per second from the first byte sent to the terminal event, what each phase takes, memory, and the floor.

Absolute figures say more of the machine than of the code; the ratio to a plain COPY, taken in the same run, says what
the pipeline costs. Medians of several runs.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from benchmarks import plain_copy, processes
from benchmarks.stack import Stack, running
from facnet_client import Phase, Status
from facnet_grpc.sample import write_sample

SIZES = {1_000: 5, 100_000: 3, 1_000_000: 3}  # lines: runs
LATENCY_RUNS = 20


@dataclass(frozen=True)
class Measured:
    """One file that went all the way through. Times in seconds from the first byte sent."""

    run_id: UUID
    total: float
    after_upload: float  # from the answer to the upload to the terminal event
    phases: dict[str, float]
    peak_mib: float


def measure(stack: Stack, file: Path) -> Measured:
    """Send `file` and follow it to its end."""
    workers = stack.workers()
    processes.forget_peak(workers)
    started = time.perf_counter()
    submitted = stack.client.submit(file)
    answered = time.perf_counter()
    first_seen: dict[str, float] = {}
    for update in stack.client.watch(submitted.validation_id):
        name = update.phase.name if update.phase is not Phase.UNSPECIFIED else update.status.name
        first_seen.setdefault(name, time.perf_counter())
        if update.status.is_terminal and update.status is not Status.COMPLETED:
            sys.exit(f"the run ended {update.status}: {update.error}")
    ended = time.perf_counter()
    marks = [("UPLOAD", started), *sorted({**first_seen, "QUEUED": answered}.items(), key=lambda mark: mark[1])]
    ends = [*(at for _, at in marks[1:]), ended]
    phases = {name: end - at for (name, at), end in zip(marks, ends, strict=True) if name != "COMPLETED"}
    return Measured(
        UUID(submitted.validation_id), ended - started, ended - answered, phases, processes.peak_mib(workers)
    )


def throughput(stack: Stack, folder: Path, sizes: dict[int, int]) -> None:
    """Print lines per second, phases and memory for each size, and the ratio to COPY for the largest."""
    for rows, times in sizes.items():
        file = folder / f"{rows}.csv"
        write_sample(rows, file)
        runs, floors = [], []
        for _ in range(times):
            runs.append(measure(stack, file))
            if rows == max(sizes):
                floors.append(plain_copy.seconds(stack.database_url, runs[-1].run_id))
        total = statistics.median(run.total for run in runs)
        print(f"\n{rows:>9,} lines  {file.stat().st_size / 1e6:8.1f} MB  {total:7.2f} s  {rows / total:9,.0f} lines/s")
        for phase in runs[0].phases:
            print(f"{'':>12}{phase.lower():<18}{statistics.median(run.phases.get(phase, 0.0) for run in runs):7.2f} s")
        print(f"{'':>12}worker peak memory {max(run.peak_mib for run in runs):.0f} MiB")
        if floors:
            ratios = [run.total / floor for run, floor in zip(runs, floors, strict=True)]
            inner = [run.after_upload / floor for run, floor in zip(runs, floors, strict=True)]
            print(f"{'':>12}plain binary COPY {statistics.median(floors):.2f} s")
            print(f"{'':>12}end to end ÷ COPY {statistics.median(ratios):.2f}")
            print(f"{'':>12}the same without the upload {statistics.median(inner):.2f}")
        file.unlink()


def latency(stack: Stack, folder: Path, runs: int) -> None:
    """Print how long a file of 1,000 lines takes from its last byte to the terminal event."""
    file = folder / "latency.csv"
    write_sample(1_000, file)
    measure(stack, file)
    taken = sorted(measure(stack, file).after_upload * 1000 for _ in range(runs))
    print(f"\n1,000 lines, from the answer to the terminal event, {runs} runs")
    print(f"{'':>12}median {statistics.median(taken):.0f} ms, largest {taken[-1]:.0f} ms")


def main() -> None:
    """Run everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, action="append", help="only this size")
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--latency-runs", type=int, default=LATENCY_RUNS)
    options = parser.parse_args()
    sizes = dict.fromkeys(options.rows, options.times) if options.rows else SIZES
    with tempfile.TemporaryDirectory() as folder, running() as stack:
        throughput(stack, Path(folder), sizes)
        latency(stack, Path(folder), options.latency_runs)


if __name__ == "__main__":
    main()
