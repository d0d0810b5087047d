"""What operators do with `facnet`, on the real thing."""

from __future__ import annotations


def test_top_shows_the_worker_and_what_it_has_done(facnet, completed):
    shown = facnet("top", "--once", "--json").json
    assert shown["day"]["completed"] >= 1
    assert shown["day"]["rows"] >= 5000
    assert shown["workers"]
    assert all(worker["release"] and worker["threads"] for worker in shown["workers"])
    assert shown["queues"]["validation"].keys() == {"waiting", "delayed", "active", "failed", "oldest_wait_seconds"}


def test_a_failed_run_is_found_and_tried_again(facnet, tmp_path):
    picture = tmp_path / "picture.csv"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    run = facnet("submit", picture, "--watch", "--json").json["validation"]["validation_id"]
    jobs = {job["validation_id"]: job for job in facnet("failed", "list", "--json", "--code", "NOT_A_CSV").lines}
    assert (jobs[run]["can_replay"], jobs[run]["error"]["code"]) == (True, "NOT_A_CSV")
    replayed = facnet("failed", "replay", run, "--json").json
    assert (replayed["validation_id"], replayed["replayed"]) == (run, True)
    assert facnet("watch", run, "--json").lines[-1]["attempt"] == 2
