"""Parsing and judging in this process, without servers: rules against parsing, bad rows against good ones."""

from __future__ import annotations

import io
import statistics
import time
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from benchmarks.figures import Figure
from facnet_grpc.ingest.reader import open_claims
from facnet_grpc.reference.snapshot import shipped
from facnet_grpc.rules import registry
from facnet_grpc.rules.api import Rule
from facnet_grpc.rules.engine import RuleProgress, run_rules
from facnet_grpc.rules.table.columns import LineCollector
from facnet_grpc.sample.writer import write_sample
from workers.process import configure_malloc
from workers.validation.resources import rule_concurrency

THREADS = 2  # what FACNET_RULE_THREADS is unless somebody changes it


def figures(folder: Path, rows: int, times: int) -> list[Figure]:
    """Measure with files of `rows` lines; each ratio is of neighbours in time."""
    configure_malloc()  # as in a worker
    good, bad = folder / f"{rows}.csv", folder / "bad.csv"
    if not good.exists():
        write_sample(rows, good)
    write_sample(rows, bad, bad_share=1.0)
    core, all_rules, speeds, parses = [], [], [], []
    for _ in range(times):
        parse, lines = _parse(good)
        parses.append(parse)
        core.append(_time_rules(lines, registry.RULES) / parse)
        all_rules.append(_time_rules(lines, registry.for_run(registry.select(()), datetime.now(UTC))) / parse)
        speeds.append(parse / _parse(bad)[0])
    return [
        Figure("parse, first byte to rule columns", statistics.median(parses), "s"),
        Figure("five core rules ÷ parse", statistics.median(core), at_most=1),
        Figure("all rules ÷ parse", statistics.median(all_rules), at_most=1),
        Figure("lines per second with all rejected ÷ none", statistics.median(speeds), at_least=0.8),
        *_shares(lines),
    ]


def _shares(lines: pa.Table) -> list[Figure]:
    """Return what part of the rules' time each rule takes, the dearest first; those below half a percent together."""
    seconds: dict[str, float] = {}

    def on_rule_done(progress: RuleProgress | None) -> None:
        if progress is not None:
            seconds[progress.rule_id] = progress.seconds

    run_rules(lines, shipped(), registry.for_run(registry.select(()), datetime.now(UTC)), on_rule_done=on_rule_done)
    whole = sum(seconds.values())
    dear = {rule: taken for rule, taken in sorted(seconds.items(), key=lambda item: -item[1]) if taken > whole / 200}
    rest = 100 * (whole - sum(dear.values())) / whole
    shares = [Figure(f"share of rule {rule}", 100 * taken / whole, "%") for rule, taken in dear.items()]
    return [*shares, Figure(f"share of the other {len(seconds) - len(dear)} rules", rest, "%")]


def _parse(path: Path) -> tuple[float, pa.Table]:
    content = path.read_bytes()
    began = time.perf_counter()
    collector = LineCollector()
    with open_claims(lambda: io.BytesIO(content), len(content)) as file:
        for batch in file.batches():
            collector.add(batch.lines)
    lines = collector.finish()
    return time.perf_counter() - began, lines


def _time_rules(lines: pa.Table, rules: tuple[Rule, ...]) -> float:
    began = time.perf_counter()
    threads = rule_concurrency(lines.num_rows, THREADS)
    run_rules(lines, shipped(), rules, on_rule_done=lambda _: None, threads=threads)
    return time.perf_counter() - began
