-- Queued runs, by lane: the runs of one owner, priority and size class. scheduling/order.py decides their order.

-- name: select_lanes
-- Lists the lanes with a run that is due. A loose index scan from lane to lane: its cost does not grow with the queue.
WITH RECURSIVE lanes AS (
    (
        SELECT owner, priority, large
        FROM validation_runs
        WHERE status = 'QUEUED'
        ORDER BY owner, priority, large
        LIMIT 1
    )
    UNION ALL
    SELECT next.owner, next.priority, next.large
    FROM lanes
    CROSS JOIN LATERAL (
        SELECT owner, priority, large
        FROM validation_runs AS run
        WHERE status = 'QUEUED' AND (run.owner, run.priority, run.large) > (lanes.owner, lanes.priority, lanes.large)
        ORDER BY owner, priority, large
        LIMIT 1
    ) AS next
), running AS MATERIALIZED (
    SELECT owner, count(*) AS count FROM validation_runs WHERE status = 'PROCESSING' GROUP BY owner
), served AS (
    SELECT owner, priority, large, last.at, max(last.at) OVER (PARTITION BY owner) AS owner_at
    FROM (SELECT DISTINCT owner FROM lanes) AS owners
    CROSS JOIN (VALUES ('HIGH'), ('NORMAL'), ('LOW')) AS priorities (priority)
    CROSS JOIN (VALUES (false), (true)) AS sizes (large)
    CROSS JOIN LATERAL (
        SELECT max(started_at) AS at
        FROM validation_runs AS run
        WHERE (run.owner, run.priority, run.large) = (owners.owner, priorities.priority, sizes.large)
            AND started_at IS NOT NULL
    ) AS last
)
SELECT owner, priority, large, COALESCE(running.count, 0) AS running, served.owner_at AS served_at,
    GREATEST(first.created_at, served.at) AS quiet_since,
    min(GREATEST(first.created_at, served.at)) OVER (PARTITION BY owner) AS owner_since
FROM lanes
CROSS JOIN LATERAL (
    SELECT created_at
    FROM validation_runs AS run
    WHERE status = 'QUEUED' AND (run.owner, run.priority, run.large) = (lanes.owner, lanes.priority, lanes.large) AND {due}
    ORDER BY created_at, id
    LIMIT 1
) AS first
JOIN served USING (owner, priority, large)
LEFT JOIN running USING (owner);

-- name: select_capacity
-- Returns the slots of all live workers, the large files in progress, and whether a small file is or recently was in
-- progress.
SELECT clock_timestamp() AS now,
    (SELECT COALESCE(sum(threads), 0) FROM workers WHERE expires_at > clock_timestamp()) AS slots,
    (SELECT count(*) FROM validation_runs WHERE status = 'PROCESSING' AND large) AS large_running,
    EXISTS (SELECT FROM validation_runs WHERE status = 'PROCESSING' AND NOT large)
    OR EXISTS (
        SELECT FROM validation_runs
        WHERE finished_at > clock_timestamp() - make_interval(secs => %(small_file_seconds)s) AND NOT large
    ) AS small_seen;

-- name: select_due_runs
-- Lists the runs that are due, lane by lane, oldest first.
SELECT id, owner, priority, large, size_bytes
FROM validation_runs
WHERE status = 'QUEUED' AND {due} AND COALESCE(next_attempt_at, created_at)
    <= clock_timestamp() - make_interval(secs => %(older_than_seconds)s)
ORDER BY owner, priority, large, created_at, id;

-- name: select_running
-- Lists the runs in progress and their durations.
SELECT owner, large, size_bytes, progress AS percent,
    EXTRACT(EPOCH FROM clock_timestamp() - started_at)::double precision AS seconds
FROM validation_runs
WHERE status = 'PROCESSING';

-- name: select_recently_completed
-- Lists runs that were completed in the last hour, latest first, with size and duration.
SELECT size_bytes, EXTRACT(EPOCH FROM finished_at - started_at)::double precision AS seconds
FROM validation_runs
WHERE status = 'COMPLETED' AND finished_at > clock_timestamp() - interval '1 hour' AND finished_at >= started_at
ORDER BY finished_at DESC
LIMIT %(limit)s;

-- name: select_depth
-- Counts the runs that are due, with the seconds for which the oldest one has been; counts those held back apart.
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

-- name: count_worker_connections
-- Counts the connections of worker processes to this database.
SELECT count(DISTINCT (client_addr, pid)) FROM pg_stat_activity
WHERE application_name = 'facnet-worker' AND datname = current_database();

-- name: select_time
-- Reads PostgreSQL's clock.
SELECT clock_timestamp();

-- name: select_key_ids
-- Lists the ids of the key-encryption keys that wrap stored keys.
SELECT key_id FROM data_keys UNION SELECT key_id FROM row_keys;
