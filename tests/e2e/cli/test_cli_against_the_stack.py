"""What people do with `facnet`, on the real thing."""

from __future__ import annotations

import psycopg
import pytest
from facnet_process import SAMPLE, run_facnet

KEYS = [
    "rule_id",
    "rule_version",
    "scenario",
    "severity",
    "category",
    "certainty",
    "record_number",
    "affected_records",
    "ramq_ids",
    "doctor_key",
    "doctor",
    "patient_key",
    "service_date",
    "at_risk_cents",
    "potential_gain_cents",
    "data",
    "message",
    "solution",
]
NOBODY = "01930000-0000-7000-8000-000000000001"


def test_run_checks_a_file_on_a_stack_of_its_own(tmp_path):
    out = tmp_path / "out.jsonl"
    ended = run_facnet("run", SAMPLE, "--results", out)
    assert (ended.code, ended.err) == (0, "")
    assert "5\N{NO-BREAK SPACE}000 lignes" in ended.out
    assert "Montant à risque" in ended.out
    assert out.stat().st_size > 0


def test_run_checks_a_file_on_a_server_that_was_named(facnet, completed, tmp_path):
    first, second = tmp_path / "1.jsonl", tmp_path / "2.jsonl"
    told = facnet("run", SAMPLE, "--json", "--results", first).json
    facnet("run", SAMPLE, "--results", second)
    assert told["validation"]["total_rows"] == 5000
    assert told["summary"]["scenarios"]
    assert len(told["dearest"]) == 10
    assert first.read_bytes() == second.read_bytes()  # the same file gives the same results
    results = facnet("results", completed, "--json")
    assert results.out == first.read_text("utf-8")
    assert all(list(line) == KEYS for line in results.lines)
    assert len(results.lines) == sum(told["summary"]["result_counts"].values())


def test_both_languages_are_spoken(facnet, completed):
    assert "Money at risk: $" in facnet("show", completed, "--lang", "en").out
    assert "Money at risk: $" in facnet("show", completed, LANG="en_CA.UTF-8").out
    assert "Montant à risque" in facnet("show", completed, LANG="C").out


def test_a_pipe_is_as_good_as_a_file(facnet):
    ended = facnet("submit", "-", "--name", "piped.csv", "--watch", "--json", stdin=SAMPLE.read_bytes())
    run = ended.json["validation"]
    assert (run["file_name"], run["status"], run["total_rows"]) == ("piped.csv", "COMPLETED", 5000)


def test_the_same_key_gives_the_same_run(facnet):
    first, second = (facnet("submit", SAMPLE, "--idempotency-key", "once", "--json").json for _ in range(2))
    assert first["validation_id"] == second["validation_id"]


def test_another_file_under_the_same_key_is_refused(facnet, tmp_path):
    facnet("submit", SAMPLE, "--idempotency-key", "mine")
    other = tmp_path / "other.csv"
    other.write_bytes(SAMPLE.read_bytes()[:-200])
    ended = facnet("submit", other, "--idempotency-key", "mine")
    assert ended.code == 3
    assert "IDEMPOTENCY_CONFLICT" in ended.err


def test_a_finished_run_can_be_watched(facnet, completed):
    (state,) = facnet("watch", completed, "--json").lines
    assert (state["status"], state["percent"]) == ("COMPLETED", 100)


def test_runs_are_listed_newest_first(facnet, completed):
    runs = facnet("list", "--json", "--all").lines
    assert completed in {run["validation_id"] for run in runs}
    times = [run["create_time"] for run in runs]
    assert times == sorted(times, reverse=True)
    (only,) = facnet("list", "--json", "--batch", "sample").lines
    assert only["validation_id"] == completed


def test_results_can_be_filtered(facnet, completed):
    errors = facnet("results", completed, "--json", "--severity", "error").lines
    assert {line["severity"] for line in errors} == {"error"}
    rule = errors[0]["rule_id"]
    assert {line["rule_id"] for line in facnet("results", completed, "--json", "--rule", rule).lines} == {rule}


def test_rejected_lines_are_told(facnet, tmp_path):
    lines = SAMPLE.read_bytes().splitlines(keepends=True)
    broken = tmp_path / "broken.csv"
    broken.write_bytes(b"".join([*lines[:50], b"nonsense;x\r\n", *lines[50:60]]))
    run = facnet("submit", broken, "--watch", "--json").json["validation"]
    assert run["rejected_rows"] == 1
    (row,) = facnet("rejects", run["validation_id"], "--json").lines
    assert row["message"]
    assert "nonsense" not in row["message"]


def test_a_picture_fails_with_a_cure(facnet, tmp_path):
    picture = tmp_path / "picture.csv"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    ended = facnet("submit", picture, "--watch", "--lang", "en")
    assert ended.code == 1
    assert "[NOT_A_CSV]" in ended.err
    assert "Traceback" not in ended.err


def test_an_empty_file_is_refused_at_the_door(facnet, tmp_path):
    empty = tmp_path / "empty.csv"
    empty.touch()
    ended = facnet("submit", empty)
    assert ended.code == 3
    assert "EMPTY_FILE" in ended.err


@pytest.mark.parametrize("command", ["show", "watch", "results", "rejects"])
def test_a_run_that_does_not_exist_is_not_found(facnet, command):
    ended = facnet(command, NOBODY)
    assert ended.code == 3
    assert "VALIDATION_NOT_FOUND" in ended.err
    assert ended.out == ""


def test_doctor_says_what_is_not_set():
    ended = run_facnet("doctor", DATABASE_URL="", REDIS_URL="")
    assert ended.code != 0
    assert "Traceback" not in ended.err


def test_sample_writes_the_same_file_for_the_same_seed(tmp_path):
    first, second = tmp_path / "1.csv", tmp_path / "2.csv"
    for path in (first, second):
        assert run_facnet("sample", "200", path, "--seed", "7").code == 0
    assert first.read_bytes() == second.read_bytes()


def test_doctor_finds_everything_in_order(facnet, clean_postgres_url, redis_server, tmp_path):
    with psycopg.connect(clean_postgres_url, application_name="facnet-worker"):  # what the doctor knows a worker by
        ended = facnet(
            "doctor",
            "--json",
            DATABASE_URL=clean_postgres_url,
            REDIS_URL=redis_server,
            FACNET_BLOB_DIR=str(tmp_path),
            FACNET_PSEUDONYM_KEY="k" * 32,
            FACNET_BLOB_KEY="b" * 32,
        )
    assert ended.code == 0, ended.out + ended.err
    checks = ("postgres", "redis", "blobs", "disk", "access", "keys", "clock", "worker", "webhooks", "mail", "server")
    assert {line["check"]: line["ok"] for line in ended.lines} == dict.fromkeys(checks, True)
