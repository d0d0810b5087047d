"""Lines, logs, exports and batches from the command line, against the real stack."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from facnet_process import SAMPLE

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def three_files(tmp_path_factory):
    """The first lines of the sample in three files; the second begins with the last ten of the first."""
    header, *rows = SAMPLE.read_bytes().splitlines(keepends=True)
    folder = tmp_path_factory.mktemp("batch")
    for name, part in (("a.csv", rows[:100]), ("b.csv", rows[90:200]), ("c.csv", rows[200:300])):
        (folder / name).write_bytes(header + b"".join(part))
    return sorted(folder.iterdir())


def test_an_export_is_the_file_that_run_writes(facnet, tmp_path):
    written, exported = tmp_path / "run.jsonl", tmp_path / "export.jsonl"
    ran = facnet("run", "--json", SAMPLE, "--results", written)
    done = facnet("export", ran.json["validation"]["validation_id"], exported, "--json")

    assert (ran.code, done.code) == (0, 0), done.err
    assert exported.read_bytes() == written.read_bytes()
    assert done.json == {
        "file": str(exported),
        "format": "jsonl",
        "rows": len(written.read_text().splitlines()),
        "bytes": exported.stat().st_size,
    }


def test_lines_are_printed_as_they_are_exported(facnet, completed, tmp_path):
    exported = tmp_path / "lines.jsonl"
    assert facnet("export", completed, exported, "--records").code == 0

    printed = facnet("records", completed, "--json", "--limit", "1500").out.splitlines()
    assert printed == exported.read_text().splitlines()[:1500]
    one = facnet("records", completed, "--line", "7", "--lang", "en")
    assert (one.code, len(one.out.splitlines())) == (0, 1)
    assert " 7  20" in one.out


def test_a_pipe_gets_the_file_alone(facnet, completed):
    piped = facnet("export", completed, "/dev/stdout", "--format", "csv")
    assert piped.out.startswith('\ufeff"rule_id",')
    assert "\n\n" not in piped.out


def test_logs_say_what_happened(facnet, completed):
    events = [json.loads(row) for row in facnet("logs", completed, "--follow", "--json").out.splitlines()]
    assert [event["event"] for event in events] == ["file_understood", "completed"]
    assert [event["level"] for event in events] == ["info", "info"]
    assert "completed  attempt=1" in facnet("logs", completed, "--source", "worker").out
    assert facnet("logs", completed, "--level", "error", "--lang", "en").out == "No entries.\n"


def test_a_batch_is_submitted_followed_and_summed_up(facnet, three_files):
    told = facnet("submit", *three_files, "--batch", "three", "--watch", "--json")
    assert told.code == 0, told.err
    *submitted, batch = [json.loads(row) for row in told.out.splitlines()]

    assert [one["status"] for one in submitted] == ["QUEUED"] * 3
    assert (batch["status"], batch["counts"]["completed"], batch["total_rows"]) == ("COMPLETED", 3, 310)
    assert {one["validation_id"] for one in batch["validations"]} == {one["validation_id"] for one in submitted}
    assert batch["duplicate_count"] == len(batch["duplicates"]) > 5
    assert {place["file_name"] for one in batch["duplicates"] for place in one["places"]} == {"a.csv", "b.csv"}

    updates = [json.loads(row) for row in facnet("watch", "--batch", "three", "--json").out.splitlines()]
    assert updates[-2]["batch"] == batch["counts"]
    assert all(one["percent"] <= other["percent"] for one, other in pairwise(updates))
    plain = facnet("batch", "three", "--lang", "en")
    assert (plain.code, "3 of 3 files done" in plain.out) == (0, True)
    assert "lines are in more than one file of the batch:" in plain.out
    assert "are in more than one" not in facnet("batch", "three", "--no-duplicates", "--lang", "en").out


def test_a_batch_with_a_file_that_fails_fails(facnet, tmp_path):
    (tmp_path / "bad.csv").write_text("nothing,here\n1,2\n")
    (tmp_path / "good.csv").write_bytes(b"".join(SAMPLE.read_bytes().splitlines(keepends=True)[:20]))

    told = facnet("submit", tmp_path / "bad.csv", tmp_path / "good.csv", "--batch", "mixed", "--watch", "--lang", "en")
    assert told.code == 1, told.err
    assert "2 of 2 files done" in told.out
