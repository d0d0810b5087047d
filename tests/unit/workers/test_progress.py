"""The percentage of an attempt: its shares, its ends, and that it never steps back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facnet_grpc.gen.facnet.v1 import validation_pb2 as pb
from facnet_grpc.model.result import MAX_PREVIEWS, Certainty, ResultPreview, Severity
from facnet_grpc.model.run import RunPhase, SeverityCounts
from workers.validation.progress import ProgressTracker

NOTHING = SeverityCounts()


@pytest.mark.parametrize(
    ("parsed", "loaded", "percent"),
    [(0, 0, 0.0), (500, 0, 25.0), (1000, 0, 50.0), (500, 500, 37.5), (1000, 1000, 75.0), (2000, 2000, 75.0)],
)
def test_parsing_and_loading_add_up_to_75(parsed, loaded, percent):
    tracker = ProgressTracker(1, 1000)
    tracker.update_parsed(bytes_parsed=parsed, rows_parsed=10, rows_rejected=1)
    tracker.update_loaded(bytes_loaded=loaded, rows_loaded=9)
    assert tracker.progress.percent == percent
    assert tracker.progress.phase == pb.VALIDATION_PHASE_LOADING


@pytest.mark.parametrize(("done", "percent"), [(0, 75.0), (1, 78.75), (4, 90.0)])
def test_rules_go_from_75_to_90(done, percent):
    tracker = ProgressTracker(1, 1000)
    tracker.update_rules(done=done, total=4, counts=NOTHING)
    assert tracker.progress.percent == percent
    assert tracker.progress.phase == pb.VALIDATION_PHASE_RULES


@pytest.mark.parametrize(("done", "total", "percent"), [(0, 10, 90.0), (5, 10, 95.0), (10, 10, 100.0), (0, 0, 100.0)])
def test_results_go_from_90_to_100(done, total, percent):
    tracker = ProgressTracker(1, 1000)
    tracker.update_results(done=done, total=total)
    assert tracker.progress.percent == percent
    assert tracker.progress.phase == pb.VALIDATION_PHASE_STORING_RESULTS


def test_figures_are_kept_from_phase_to_phase():
    tracker = ProgressTracker(3, 1000)
    tracker.update_parsed(bytes_parsed=1000, rows_parsed=12, rows_rejected=2)
    tracker.update_loaded(bytes_loaded=1000, rows_loaded=10)
    tracker.update_rules(done=1, total=1, counts=SeverityCounts(error=4))
    last = tracker.finish()
    assert (last.attempt, last.percent, last.total_bytes) == (3, 100.0, 1000)
    assert (last.rows_parsed, last.rows_rejected, last.rows_loaded) == (12, 2, 10)
    assert last.result_counts == pb.SeverityCounts(error=4)


def test_what_is_stored_are_the_figures_of_the_row():
    tracker = ProgressTracker(3, 1000)
    tracker.update_parsed(bytes_parsed=1000, rows_parsed=12, rows_rejected=2)
    tracker.update_rules(done=1, total=1, counts=SeverityCounts(error=4))
    rows = {"rows_parsed": 12, "rows_loaded": 0, "rows_rejected": 2}
    counts = {"error": 4, "warning": 0, "optimization": 0, "info": 0}
    assert tracker.columns() == {"phase": RunPhase.RULES, "percent": 90.0, "bytes_parsed": 1000, **rows, **counts}


def test_the_first_results_are_previewed_and_no_more():
    tracker, found = ProgressTracker(1, 1000), []
    for rule in range(3):
        results = tuple(
            ResultPreview(f"rule_{rule}", "1", "s", Severity.WARNING, "c", Certainty.LIKELY, number or None)
            for number in range(4)
        )
        found += results
        tracker.update_rules(done=rule, total=3, counts=NOTHING, preview=results)
    preview = tracker.progress.preview
    assert len(preview) == MAX_PREVIEWS
    assert [result.result_number for result in preview] == list(range(1, MAX_PREVIEWS + 1))
    assert [(result.rule_id, result.record_number) for result in preview] == [
        (result.rule_id, result.record_number or 0) for result in found[:MAX_PREVIEWS]
    ]
    assert [list(result.affected_records) for result in preview[:2]] == [[], [1]]


def test_nothing_moved_is_the_same_progress():
    tracker = ProgressTracker(1, 1000)
    before = tracker.progress
    assert tracker.progress is before
    tracker.update_loaded(bytes_loaded=1, rows_loaded=1)
    assert tracker.progress is not before


STEP = st.one_of(
    st.tuples(st.just("parsed"), st.integers(0, 2000), st.just(1)),
    st.tuples(st.just("loaded"), st.integers(0, 2000), st.just(1)),
    st.tuples(st.just("rules"), st.integers(0, 10), st.integers(0, 10)),
    st.tuples(st.just("results"), st.integers(0, 10), st.integers(0, 10)),
)


def _take(tracker, kind, done, total):
    if kind == "parsed":
        tracker.update_parsed(bytes_parsed=done, rows_parsed=done, rows_rejected=0)
    elif kind == "loaded":
        tracker.update_loaded(bytes_loaded=done, rows_loaded=done)
    elif kind == "rules":
        tracker.update_rules(done=done, total=total, counts=NOTHING)
    else:
        tracker.update_results(done=done, total=total)


@given(st.integers(0, 1500), st.lists(STEP))
def test_percent_never_steps_back_nor_leaves_its_range(total_bytes, steps):
    tracker = ProgressTracker(1, total_bytes)
    seen = [tracker.progress.percent]
    for step in steps:
        _take(tracker, *step)
        seen.append(tracker.progress.percent)
    assert seen == sorted(seen)
    assert seen[0] >= 0.0
    assert seen[-1] <= 100.0
