-- Which worker processes are alive.

-- name: say
-- Says that a worker is there, and what it is at.
INSERT INTO workers (id, release, threads, run_ids, seen_at, expires_at)
VALUES (%(id)s, %(release)s, %(threads)s, %(run_ids)s, clock_timestamp(),
    clock_timestamp() + make_interval(secs => %(ttl_seconds)s::double precision))
ON CONFLICT (id) DO UPDATE
SET run_ids = EXCLUDED.run_ids, seen_at = EXCLUDED.seen_at, expires_at = EXCLUDED.expires_at;

-- name: leave
-- Says that a worker is gone.
DELETE FROM workers WHERE id = %(id)s;

-- name: forget
-- Removes those that have not said anything for a while.
DELETE FROM workers WHERE expires_at < clock_timestamp();
