-- The accepted lines of a run.

-- name: try_lock
-- Makes this transaction the only one that writes rows of a run; false if another one is it.
SELECT pg_try_advisory_xact_lock(hashtextextended(%(run_id)s::text, 0)) AS locked;

-- name: lock
-- The same, waiting for the other one to end.
SELECT pg_advisory_xact_lock(hashtextextended(%(run_id)s::text, 0));

-- name: evict
-- Ends the session that writes rows of a run.
SELECT pg_terminate_backend(pid)
FROM pg_locks
WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND pid <> pg_backend_pid()
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND ((classid::bigint << 32) | objid::bigint) = hashtextextended(%(run_id)s::text, 0);
