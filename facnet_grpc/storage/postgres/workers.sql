-- Live worker processes.

-- name: upsert_worker
-- Stores the heartbeat of a worker process and its runs.
INSERT INTO workers (id, release, threads, run_ids, seen_at, expires_at)
VALUES (%(id)s, %(release)s, %(threads)s, %(run_ids)s, clock_timestamp(),
    clock_timestamp() + make_interval(secs => %(ttl_seconds)s::double precision))
ON CONFLICT (id) DO UPDATE
SET run_ids = EXCLUDED.run_ids, seen_at = EXCLUDED.seen_at, expires_at = EXCLUDED.expires_at;

-- name: delete_worker
-- Deletes a worker process.
DELETE FROM workers WHERE id = %(id)s;

-- name: delete_expired
-- Deletes worker processes without a recent heartbeat.
DELETE FROM workers WHERE expires_at < clock_timestamp();
