"""What people do with `facnet`, on the real thing."""

from __future__ import annotations

import psycopg
from facnet_process import SAMPLE, run_facnet


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
    assert len(results.lines) == sum(told["summary"]["result_counts"].values())


def test_a_pipe_is_as_good_as_a_file(facnet):
    ended = facnet("submit", "-", "--name", "piped.csv", "--watch", "--json", stdin=SAMPLE.read_bytes())
    run = ended.json["validation"]
    assert (run["file_name"], run["status"], run["total_rows"]) == ("piped.csv", "COMPLETED", 5000)


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
