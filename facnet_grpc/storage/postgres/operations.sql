-- The whole service, or the part of one owner, for its operators.

-- name: count_jobs
-- Counts jobs by kind, owner, priority and state, with the seconds for which the oldest due one has waited.
WITH jobs AS (
    SELECT 'VALIDATION' AS kind, owner, priority, COALESCE(next_attempt_at, created_at) AS due_at,
        CASE
            WHEN status = 'PROCESSING' THEN 'active'
            WHEN status = 'FAILED' THEN 'failed'
            WHEN next_attempt_at > clock_timestamp() THEN 'delayed'
            ELSE 'waiting'
        END AS state
    FROM validation_runs
    WHERE status = 'QUEUED' OR status = 'PROCESSING' OR status = 'FAILED'
    UNION ALL
    SELECT 'REVALIDATION', run.owner, 'NORMAL', asked_at,
        CASE
            WHEN revalidations.error_code IS NOT NULL THEN 'failed'
            WHEN began_at IS NOT NULL THEN 'active'
            ELSE 'waiting'
        END
    FROM revalidations
    JOIN validation_runs AS run ON run.id = run_id
    WHERE done_at IS NULL OR revalidations.error_code IS NOT NULL
)
SELECT kind, owner, priority,
    count(*) FILTER (WHERE state = 'waiting') AS waiting,
    count(*) FILTER (WHERE state = 'delayed') AS delayed,
    count(*) FILTER (WHERE state = 'active') AS active,
    count(*) FILTER (WHERE state = 'failed') AS failed,
    EXTRACT(EPOCH FROM clock_timestamp() - min(due_at) FILTER (WHERE state = 'waiting'))::double precision
        AS oldest_wait_seconds
FROM jobs
WHERE %(owner)s::text IS NULL OR owner = %(owner)s
GROUP BY kind, owner, priority;

-- name: select_times
-- Averages how long runs that ended recently waited and ran, and sums up their bytes and rows. Uses now(), so that the
-- index on finished_at applies.
SELECT count(*) FILTER (WHERE status = 'COMPLETED') AS completed,
    count(*) FILTER (WHERE status = 'FAILED') AS failed,
    avg(EXTRACT(EPOCH FROM started_at - created_at)) FILTER (WHERE attempt = 1)::double precision AS mean_wait_seconds,
    avg(EXTRACT(EPOCH FROM finished_at - started_at))::double precision AS mean_work_seconds,
    COALESCE(sum(size_bytes) FILTER (WHERE status = 'COMPLETED'), 0)::bigint AS bytes,
    COALESCE(sum(total_rows) FILTER (WHERE status = 'COMPLETED'), 0)::bigint AS rows
FROM validation_runs
WHERE finished_at >= now() - make_interval(secs => %(seconds)s::double precision)
    AND status IN ('COMPLETED', 'FAILED')
    AND (%(owner)s::text IS NULL OR owner = %(owner)s);

-- name: select_workers
-- Lists live worker processes, each with those of its runs that still exist.
SELECT id, release, threads, started_at, seen_at,
    ARRAY(
        SELECT run.id
        FROM validation_runs AS run
        WHERE run.id = ANY(run_ids) AND (%(owner)s::text IS NULL OR owner = %(owner)s)
        ORDER BY run.id
    ) AS run_ids
FROM workers
WHERE expires_at > clock_timestamp()
ORDER BY workers.started_at, id;

-- name: select_active_runs
-- Lists runs in progress, longest first.
SELECT id, owner, file_name, priority, phase, progress AS percent, attempt, size_bytes, total_rows AS rows_parsed,
    started_at,
    (SELECT workers.id FROM workers WHERE run.id = ANY(run_ids) AND expires_at > clock_timestamp() LIMIT 1) AS worker_id
FROM validation_runs AS run
WHERE status = 'PROCESSING' AND (%(owner)s::text IS NULL OR owner = %(owner)s)
ORDER BY started_at, id
LIMIT %(limit)s;

-- name: select_failed_jobs
-- Lists failed jobs, latest first, after a given one.
SELECT kind, id, run_id, owner, file_name, size_bytes, error_code, error_params, attempt, created_at, started_at,
    failed_at, is_kept
FROM (
    SELECT 'VALIDATION' AS kind, id, id AS run_id, owner, file_name, size_bytes, error_code, error_params, attempt,
        created_at, started_at, finished_at AS failed_at, blob_key IS NOT NULL AS is_kept
    FROM validation_runs
    WHERE status = 'FAILED'
    UNION ALL
    SELECT 'REVALIDATION', asked.id, run.id, owner, file_name, size_bytes, asked.error_code, '{}', attempts, asked_at,
        began_at, done_at, false
    FROM revalidations AS asked
    JOIN validation_runs AS run ON run.id = run_id
    WHERE asked.error_code IS NOT NULL
) AS job
WHERE (%(scope)s::text IS NULL OR owner = %(scope)s)
    AND (%(owner)s::text IS NULL OR owner = %(owner)s)
    AND (%(codes)s::text[] IS NULL OR error_code = ANY(%(codes)s))
    AND (%(failed_from)s::timestamptz IS NULL OR failed_at >= %(failed_from)s)
    AND (%(failed_before)s::timestamptz IS NULL OR failed_at < %(failed_before)s)
    AND (%(after_at)s::timestamptz IS NULL OR (failed_at, id) < (%(after_at)s, %(after_id)s::uuid))
ORDER BY failed_at DESC, id DESC
LIMIT %(limit)s;
