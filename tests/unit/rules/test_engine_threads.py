"""The engine with threads: several rules at once, the same report, and one caller who hears of it all."""

from __future__ import annotations

from contextvars import ContextVar
from datetime import date
from pathlib import Path
from threading import Barrier, BrokenBarrierError, Event, current_thread

import pyarrow as pa
import pytest
from structlog.contextvars import bound_contextvars, merge_contextvars
from structlog.testing import capture_logs

import facnet_grpc.sample
from facnet_grpc.errors import RunCancelled
from facnet_grpc.ingest.reader import open_claims
from facnet_grpc.model.result import FINDING_SCHEMA, Certainty, Severity
from facnet_grpc.reference.snapshot import shipped
from facnet_grpc.rules.api import RuleFindings, RuleInfo
from facnet_grpc.rules.checks.claim_table import ClaimTable
from facnet_grpc.rules.checks.compile import CheckRule, SharedCache
from facnet_grpc.rules.checks.packs import for_run
from facnet_grpc.rules.engine import run_rules
from facnet_grpc.rules.registry import select
from facnet_grpc.rules.table.columns import LineCollector
from tests.rules.compare import with_sites
from tests.rules.tables import lines

SAMPLE = Path(facnet_grpc.sample.__file__).parent / "claims-5000.csv"
SOON = 30.0  # seconds after which a test has failed; nothing waits that long
TODAY = date(2026, 1, 5)
run_id = ContextVar("run_id", default="")


class Asking:
    """A rule that finds one line and asks a function first."""

    def __init__(self, rule_id, ask):
        self.info = RuleInfo(
            id=rule_id,
            version="1",
            category="tests",
            certainty=Certainty.LIKELY,
            severities=(Severity.INFO,),
            scenarios=("one",),
            needs=(),
            source="tests",
        )
        self.ask = ask

    def evaluate(self, lines, reference):
        self.ask()
        row = {
            "scenario": "one",
            "severity": "info",
            "affected_records": [1],
            "at_risk_cents": 0,
            "potential_gain_cents": 0,
            "risk_records": [],
            "risk_cents": [],
            "data": "{}",
        }
        return RuleFindings(pa.Table.from_pylist([row], schema=FINDING_SCHEMA), {"one": 1})


def run(*rules, on_rule_done=lambda _: None, threads=2):
    return run_rules(lines([{}]), shipped(), rules, on_rule_done=on_rule_done, threads=threads)


@pytest.fixture(scope="module")
def sample():
    collector = LineCollector()
    with open_claims(lambda: SAMPLE.open("rb"), SAMPLE.stat().st_size) as file:
        for batch in file.batches():
            collector.add(batch.lines)
    return collector.finish()


def report_of(sample, rules, **options):
    ready = for_run(rules, TODAY)
    return run_rules(sample, with_sites(), ready, on_rule_done=lambda _: None, **options)


def test_all_rules_find_the_same_with_any_number_of_threads(sample):
    one = report_of(sample, select(()))
    assert one.results.num_rows
    for threads in (2, 4):
        several = report_of(sample, select(()), threads=threads)
        assert several == one
        assert _bytes(several.results) == _bytes(one.results)
    assert report_of(sample, select(())[::-1], threads=2) == one


def _bytes(table):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue().to_pybytes()


def test_checks_of_a_run_share_one_claim_table(sample):
    made = []

    def make(lines):
        made.append(ClaimTable(lines))
        return made[-1]

    cache = SharedCache(make)
    rules = [rule.for_run(TODAY, cache) for rule in select(()) if isinstance(rule, CheckRule)]
    run_rules(sample, with_sites(), rules, on_rule_done=lambda _: None, threads=4)
    (table,) = made
    assert table.nams is table.nams


def test_two_rules_are_in_evaluation_at_once_and_no_third():
    together, inside, most = Barrier(2), [], []

    def ask():
        inside.append(None)
        together.wait(SOON)
        most.append(len(inside))
        together.wait(SOON)
        inside.pop()

    report = run(*(Asking(f"{letter}_rule", ask) for letter in "abcd"))
    assert report.results.column("scenario").to_pylist() == ["one"] * 4
    assert max(most) == 2


def test_the_caller_hears_of_rules_in_its_own_thread_as_they_end():
    heard, others = [], Event()

    def on_rule_done(progress):
        heard.append((current_thread(), progress and (progress.rule_id, progress.rules_done, progress.counts.info)))
        if progress and progress.rule_id == "c_rule":
            others.set()

    def last():
        assert others.wait(SOON)

    report = run(
        Asking("a_rule", last), Asking("b_rule", _nothing), Asking("c_rule", _nothing), on_rule_done=on_rule_done
    )
    assert [progress for _, progress in heard] == [None, ("b_rule", 1, 1), ("c_rule", 2, 2), ("a_rule", 3, 3)]
    assert {thread for thread, _ in heard} == {current_thread()}
    assert report.results.column("rule_id").to_pylist() == ["a_rule", "b_rule", "c_rule"]
    assert [passed.rule_id for passed in report.passes] == ["a_rule", "b_rule", "c_rule"]


def _nothing():
    pass


def test_after_an_exception_of_on_rule_done_no_rule_starts_and_running_ones_end():
    ran, stopped = [], Event()

    def long():
        assert stopped.wait(SOON)
        ran.append("a_rule")

    def stop(progress):
        if progress:
            stopped.set()
            raise RunCancelled

    further = [Asking(letter, lambda: ran.append("further")) for letter in ("c_rule", "d_rule")]
    with pytest.raises(RunCancelled):
        run(Asking("a_rule", long), Asking("b_rule", _nothing), *further, on_rule_done=stop)
    assert ran == ["a_rule"]


def test_an_exception_of_the_first_on_rule_done_starts_no_rule():
    def stop(_):
        raise RunCancelled

    with pytest.raises(RunCancelled):
        run(*[Asking(letter, pytest.fail) for letter in ("a_rule", "b_rule")], on_rule_done=stop)


def test_a_rule_that_raises_says_of_which_run_it_was():
    def fail():
        raise KeyError("SECRET")

    with capture_logs([merge_contextvars]) as logs, bound_contextvars(run_id="7"):
        report = run(Asking("a_rule", fail), Asking("b_rule", _nothing))
    assert report.results.column("scenario").to_pylist() == ["system_error", "one"]
    failed = {"event": "rule_failed", "log_level": "error", "rule_id": "a_rule", "error_class": "KeyError"}
    assert logs == [{**failed, "run_id": "7"}]


def test_rules_see_what_the_caller_says():
    seen = []
    token = run_id.set("7")
    try:
        run(*(Asking(letter, lambda: seen.append(run_id.get())) for letter in ("a_rule", "b_rule", "c_rule")))
    finally:
        run_id.reset(token)
    assert seen == ["7", "7", "7"]


def test_running_out_of_memory_goes_through():
    def fail():
        raise MemoryError

    with pytest.raises(MemoryError):
        run(Asking("a_rule", fail), Asking("b_rule", _nothing), Asking("c_rule", _nothing))


def test_with_one_thread_nobody_else_evaluates():
    threads, alone = [], Barrier(2)

    def ask():
        threads.append(current_thread())
        with pytest.raises(BrokenBarrierError):
            alone.wait(0)

    run(Asking("a_rule", ask), Asking("b_rule", ask), threads=1)
    assert threads == [current_thread()] * 2
