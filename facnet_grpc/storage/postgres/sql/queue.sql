-- The queue as a whole, for those who watch over it.

-- name: figures
-- Counts the runs that are due, and says for how many seconds the oldest one has been.
SELECT count(*), COALESCE(EXTRACT(EPOCH FROM clock_timestamp() - min(COALESCE(next_attempt_at, created_at))), 0)
FROM validation_runs
WHERE status = 'QUEUED' AND (next_attempt_at IS NULL OR next_attempt_at <= clock_timestamp());

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
