-- The queue as a whole, for those who watch over it.

-- name: figures
-- Counts the runs that are due, and says for how many seconds the oldest one has been; those apart that are held back.
SELECT count(*) FILTER (WHERE NOT is_held) AS depth,
    COALESCE(EXTRACT(EPOCH FROM clock_timestamp() - min(since) FILTER (WHERE NOT is_held)), 0) AS age,
    count(*) FILTER (WHERE is_held) AS held
FROM (
    SELECT COALESCE(next_attempt_at, created_at) AS since,
        EXISTS (
            SELECT FROM unnest(%(owners)s::text [], %(large)s::boolean []) AS held (owner, large)
            WHERE (held.owner, held.large) = (run.owner, run.large)
        ) AS is_held
    FROM validation_runs AS run
    WHERE status = 'QUEUED' AND (next_attempt_at IS NULL OR next_attempt_at <= clock_timestamp())
) AS due;

-- name: workers
-- Counts the connections that worker processes hold to this database.
SELECT count(DISTINCT (client_addr, pid)) FROM pg_stat_activity
WHERE application_name = 'facnet-worker' AND datname = current_database();

-- name: clock
-- Reads the clock of PostgreSQL.
SELECT clock_timestamp();

-- name: key_ids
-- Lists the keys, by name, that stored files and patients are encrypted with.
SELECT key_id FROM data_keys UNION SELECT key_id FROM row_keys;
