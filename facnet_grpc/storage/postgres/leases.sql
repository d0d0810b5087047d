-- Runs under a lease. Each change of a status names the statuses that it may come from (%(sources)s, see model/run.py),
-- and every change by a worker names its lease token, so that a worker that lost its lease changes nothing. Times are
-- clock_timestamp(): now() is when the transaction began, minutes before the end of a load.

-- fragment: claimed
status = %(target)s, phase = 'LOADING', attempt = attempt + 1, started_at = clock_timestamp(), next_attempt_at = NULL,
    lease_token = gen_random_uuid(), lease_expires_at = clock_timestamp() + make_interval(secs => %(lease_seconds)s),
    progress = 0, bytes_parsed = 0, total_rows = 0, processed_rows = 0, rejected_rows = 0,
    error_count = 0, warning_count = 0, optimization_count = 0, info_count = 0, encoding = NULL, delimiter = NULL

-- name: claim_run
-- Claims a queued run that is due. The attempt counts from here on, whatever becomes of the worker. A run that another
-- worker has locked is skipped, not waited for: that worker may be frozen.
UPDATE validation_runs
SET {claimed}
WHERE id = (
    SELECT id FROM validation_runs
    WHERE id = %(id)s AND status = ANY(%(sources)s) AND {due}
    FOR UPDATE SKIP LOCKED
)
RETURNING lease_token, {run_columns};

-- name: claim_first_of_lane
-- Claims the first run of a lane that no other worker has locked.
UPDATE validation_runs
SET {claimed}
WHERE status = ANY(%(sources)s) AND id = (
    SELECT id FROM validation_runs
    WHERE status = 'QUEUED' AND owner = %(owner)s AND priority = %(priority)s AND large = %(large)s AND {due}
    ORDER BY created_at, id
    LIMIT 1
    FOR UPDATE SKIP LOCKED
)
RETURNING lease_token, {run_columns};

-- name: extend_lease
-- Extends a lease and stores progress, which never steps back; returns whether the run is to be cancelled.
UPDATE validation_runs
SET lease_expires_at = clock_timestamp() + make_interval(secs => %(lease_seconds)s),
    phase = COALESCE(%(phase)s::text, phase),
    progress = GREATEST(progress, %(percent)s::double precision),
    bytes_parsed = GREATEST(bytes_parsed, %(bytes_parsed)s::bigint),
    total_rows = GREATEST(total_rows, %(rows_parsed)s::bigint),
    processed_rows = GREATEST(processed_rows, %(rows_loaded)s::bigint),
    rejected_rows = GREATEST(rejected_rows, %(rows_rejected)s::bigint),
    error_count = GREATEST(error_count, %(error)s::bigint),
    warning_count = GREATEST(warning_count, %(warning)s::bigint),
    optimization_count = GREATEST(optimization_count, %(optimization)s::bigint),
    info_count = GREATEST(info_count, %(info)s::bigint)
WHERE id = %(id)s AND lease_token = %(lease_token)s
RETURNING cancel_requested_at IS NOT NULL AS cancel_requested;

-- name: update_dialect
-- Stores the encoding and the delimiter of the file.
UPDATE validation_runs
SET encoding = %(encoding)s, delimiter = %(delimiter)s
WHERE id = %(id)s AND lease_token = %(lease_token)s
RETURNING id;

-- name: complete_run
-- Ends a run as COMPLETED, unless it is to be cancelled.
UPDATE validation_runs
SET status = %(target)s, {no_lease}, finished_at = clock_timestamp(), progress = 100, bytes_parsed = size_bytes,
    total_rows = %(total_rows)s, processed_rows = %(processed_rows)s, rejected_rows = %(rejected_rows)s,
    error_count = %(error)s, warning_count = %(warning)s, optimization_count = %(optimization)s, info_count = %(info)s,
    summary = %(summary)s::text::jsonb, rule_set_version = %(rule_set_version)s,
    reference_version = %(reference_version)s
WHERE id = %(id)s AND lease_token = %(lease_token)s AND status = ANY(%(sources)s) AND cancel_requested_at IS NULL
RETURNING id;

-- name: select_lease
-- Returns a row if the lease is still held.
SELECT 1 FROM validation_runs WHERE id = %(id)s AND lease_token = %(lease_token)s;

-- name: fail_run
-- Ends a run as FAILED.
UPDATE validation_runs
SET status = %(target)s, {no_lease}, finished_at = clock_timestamp(),
    error_code = %(error_code)s, error_params = %(error_params)s, error_message = %(error_message)s
WHERE id = %(id)s AND lease_token = %(lease_token)s AND status = ANY(%(sources)s)
RETURNING id;

-- name: release_run
-- Puts a run back into the queue; a run that is to be cancelled becomes CANCELLED, as nobody would claim it.
UPDATE validation_runs
SET status = CASE WHEN cancel_requested_at IS NULL THEN %(target)s ELSE 'CANCELLED' END, {no_lease},
    finished_at = CASE WHEN cancel_requested_at IS NOT NULL THEN clock_timestamp() END,
    next_attempt_at =
        CASE WHEN cancel_requested_at IS NULL THEN clock_timestamp() + make_interval(secs => %(delay_seconds)s) END,
    uncounted_attempts = uncounted_attempts + %(uncounted)s
WHERE id = %(id)s AND lease_token = %(lease_token)s AND status = ANY(%(sources)s)
RETURNING id;

-- name: cancel_run
-- Ends a run as CANCELLED.
UPDATE validation_runs
SET status = %(target)s, {no_lease}, finished_at = clock_timestamp()
WHERE id = %(id)s AND lease_token = %(lease_token)s AND status = ANY(%(sources)s)
RETURNING id;

-- name: requeue_expired
-- Ends expired leases: the runs become QUEUED, FAILED if no attempts are left, or CANCELLED. A queued run without
-- attempts left (the setting was lowered) becomes FAILED too, as nobody would claim it.
WITH late AS (
    SELECT id
    FROM validation_runs
    WHERE (status = 'PROCESSING' AND lease_expires_at < now())
        OR (status = 'QUEUED' AND attempt - uncounted_attempts >= %(max_attempts)s)
    ORDER BY id
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
), decided AS (
    SELECT id, status AS was,
        CASE
            WHEN cancel_requested_at IS NOT NULL THEN 'CANCELLED'
            WHEN attempt - uncounted_attempts >= %(max_attempts)s THEN 'FAILED'
            ELSE 'QUEUED'
        END AS becomes
    FROM validation_runs
    JOIN late USING (id)
)
UPDATE validation_runs AS run
SET status = becomes, {no_lease},
    finished_at = CASE WHEN becomes <> 'QUEUED' THEN clock_timestamp() END,
    next_attempt_at = CASE WHEN becomes = 'QUEUED' THEN clock_timestamp() + make_interval(secs => %(delay_seconds)s) END,
    error_code = CASE WHEN becomes = 'FAILED' THEN
        CASE was WHEN 'PROCESSING' THEN 'WORKER_CRASHED' ELSE 'ATTEMPTS_EXHAUSTED' END END,
    error_params = CASE WHEN becomes = 'FAILED' THEN jsonb_build_object('attempts', attempt) ELSE '{}' END,
    error_message = CASE WHEN becomes = 'FAILED' THEN 'no attempts left' END
FROM decided
WHERE run.id = decided.id
RETURNING run.id;
