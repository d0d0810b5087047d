-- Runs. Every change of a status names the statuses that it may come from (%(sources)s, from model/run.py), and every
-- change by a worker names its lease, so that a worker that lost it changes nothing. What is stored is the time at which
-- it happens, clock_timestamp(): now() is when the transaction began, minutes ago at the end of a load.

-- fragment: run_columns
id, owner, batch_id, idempotency_key, file_name, size_bytes, sha256, blob_key, priority, labels, rule_ids,
    encoding_hint, delimiter_hint, encoding, delimiter, status, phase, progress, bytes_parsed, total_rows,
    processed_rows, rejected_rows, error_count, warning_count, optimization_count, info_count, attempt,
    uncounted_attempts, next_attempt_at, cancel_requested_at, error_code, error_params, rule_set_version,
    reference_version, created_at, started_at, finished_at

-- fragment: no_lease
lease_token = NULL, lease_expires_at = NULL, phase = NULL

-- fragment: rank
CASE priority WHEN 'HIGH' THEN 0 WHEN 'NORMAL' THEN 1 ELSE 2 END

-- name: insert
-- Stores a new run; no row if the owner has used the idempotency key before.
INSERT INTO validation_runs
    (id, owner, batch_id, idempotency_key, file_name, size_bytes, sha256, blob_key, priority, labels, rule_ids,
     encoding_hint, delimiter_hint)
VALUES
    (%(id)s, %(owner)s, %(batch_id)s, %(idempotency_key)s, %(file_name)s, %(size_bytes)s, %(sha256)s, %(blob_key)s,
     %(priority)s, %(labels)s, %(rule_ids)s, %(encoding_hint)s, %(delimiter_hint)s)
ON CONFLICT (owner, idempotency_key) DO NOTHING
RETURNING {run_columns};

-- name: find_by_key
-- Finds the run that an owner gave an idempotency key.
SELECT {run_columns} FROM validation_runs WHERE owner = %(owner)s AND idempotency_key = %(key)s;

-- name: get
-- Reads a run, of a certain owner if one is given.
SELECT {run_columns}
FROM validation_runs
WHERE id = %(id)s AND (%(owner)s::text IS NULL OR owner = %(owner)s);

-- name: get_many
-- Reads several runs; those that do not exist are left out.
SELECT {run_columns} FROM validation_runs WHERE id = ANY(%(ids)s);

-- name: summary
-- Reads the figures of a completed run.
SELECT summary::text AS summary FROM validation_runs WHERE id = %(id)s;

-- name: page
-- Lists an owner's runs, newest first, older than the run `before`.
SELECT {run_columns}
FROM validation_runs
WHERE owner = %(owner)s
    AND (%(before)s::uuid IS NULL OR id < %(before)s)
    AND (%(statuses)s::text[] IS NULL OR status = ANY(%(statuses)s))
    AND (%(batch_id)s::text IS NULL OR batch_id = %(batch_id)s)
    AND (%(file_name)s::text IS NULL OR strpos(lower(file_name), lower(%(file_name)s)) > 0)
    AND (%(created_from)s::timestamptz IS NULL OR created_at >= %(created_from)s)
    AND (%(created_before)s::timestamptz IS NULL OR created_at < %(created_before)s)
ORDER BY id DESC
LIMIT %(limit)s;

-- name: queue_position
-- Counts the runs that wait before a waiting run; no row if it does not wait.
WITH mine AS (
    SELECT {rank} AS rank, created_at, id FROM validation_runs WHERE id = %(id)s AND status = 'QUEUED'
)
SELECT (
    SELECT count(*)
    FROM validation_runs
    WHERE status = 'QUEUED' AND ({rank}, created_at, id) < (mine.rank, mine.created_at, mine.id)
) AS ahead
FROM mine;

-- name: claim
-- Gives a waiting run that is due to a worker. The attempt counts from here on, whatever becomes of the worker.
-- One that another worker is just taking is passed over, not waited for: that worker may have frozen in between.
UPDATE validation_runs
SET status = %(target)s, phase = 'LOADING', attempt = attempt + 1, started_at = clock_timestamp(), next_attempt_at = NULL,
    lease_token = gen_random_uuid(), lease_expires_at = clock_timestamp() + make_interval(secs => %(lease_seconds)s),
    progress = 0, bytes_parsed = 0, total_rows = 0, processed_rows = 0, rejected_rows = 0,
    error_count = 0, warning_count = 0, optimization_count = 0, info_count = 0, encoding = NULL, delimiter = NULL
WHERE id = (
    SELECT id
    FROM validation_runs
    WHERE id = %(id)s AND status = ANY(%(sources)s)
        AND (next_attempt_at IS NULL OR next_attempt_at <= now())
        AND cancel_requested_at IS NULL
        AND attempt - uncounted_attempts < %(max_attempts)s
    FOR UPDATE SKIP LOCKED
)
RETURNING lease_token, {run_columns};

-- name: beat
-- Extends a lease and stores progress, which never steps back; says whether somebody wants the run to stop.
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

-- name: set_found
-- Stores what the file turned out to be.
UPDATE validation_runs
SET encoding = %(encoding)s, delimiter = %(delimiter)s
WHERE id = %(id)s AND lease_token = %(lease_token)s
RETURNING id;

-- name: complete
-- Ends a run well, unless somebody wants it to stop.
UPDATE validation_runs
SET status = %(target)s, {no_lease}, finished_at = clock_timestamp(), progress = 100, bytes_parsed = size_bytes,
    total_rows = %(total_rows)s, processed_rows = %(processed_rows)s, rejected_rows = %(rejected_rows)s,
    error_count = %(error)s, warning_count = %(warning)s, optimization_count = %(optimization)s, info_count = %(info)s,
    summary = %(summary)s::text::jsonb, rule_set_version = %(rule_set_version)s,
    reference_version = %(reference_version)s
WHERE id = %(id)s AND lease_token = %(lease_token)s AND status = ANY(%(sources)s) AND cancel_requested_at IS NULL
RETURNING id;

-- name: holds_lease
-- Says whether a lease still stands.
SELECT 1 FROM validation_runs WHERE id = %(id)s AND lease_token = %(lease_token)s;

-- name: fail
-- Ends a run badly.
UPDATE validation_runs
SET status = %(target)s, {no_lease}, finished_at = clock_timestamp(),
    error_code = %(error_code)s, error_params = %(error_params)s, error_message = %(error_message)s
WHERE id = %(id)s AND lease_token = %(lease_token)s AND status = ANY(%(sources)s)
RETURNING id;

-- name: release
-- Puts a run back into the queue; one that somebody wants to stop is cancelled instead, as nobody would claim it.
UPDATE validation_runs
SET status = CASE WHEN cancel_requested_at IS NULL THEN %(target)s ELSE 'CANCELLED' END, {no_lease},
    finished_at = CASE WHEN cancel_requested_at IS NOT NULL THEN clock_timestamp() END,
    next_attempt_at =
        CASE WHEN cancel_requested_at IS NULL THEN clock_timestamp() + make_interval(secs => %(delay_seconds)s) END,
    uncounted_attempts = uncounted_attempts + %(uncounted)s
WHERE id = %(id)s AND lease_token = %(lease_token)s AND status = ANY(%(sources)s)
RETURNING id;

-- name: cancel
-- Ends a run because somebody wants it to stop.
UPDATE validation_runs
SET status = %(target)s, {no_lease}, finished_at = clock_timestamp()
WHERE id = %(id)s AND lease_token = %(lease_token)s AND status = ANY(%(sources)s)
RETURNING id;

-- name: request_cancel
-- Cancels a waiting run at once, and asks the worker of a running one to stop.
UPDATE validation_runs
SET status = CASE status WHEN 'QUEUED' THEN %(target)s ELSE status END,
    finished_at = CASE status WHEN 'QUEUED' THEN clock_timestamp() END,
    next_attempt_at = NULL,
    cancel_requested_at = COALESCE(cancel_requested_at, clock_timestamp())
WHERE id = %(id)s AND (%(owner)s::text IS NULL OR owner = %(owner)s) AND status = ANY(%(sources)s)
RETURNING {run_columns};

-- name: clear_blob
-- Notes that the file is deleted, and forgets its key.
WITH erased AS (DELETE FROM data_keys WHERE run_id = %(id)s)
UPDATE validation_runs SET blob_key = NULL WHERE id = %(id)s;

-- name: waiting
-- Finds runs that are due and have waited longer than a message takes: theirs may be lost.
SELECT id
FROM validation_runs
WHERE status = 'QUEUED'
    AND COALESCE(next_attempt_at, created_at) <= now() - make_interval(secs => %(older_than_seconds)s)
ORDER BY {rank}, created_at, id
LIMIT %(limit)s;

-- name: expired
-- Takes runs away from workers that have gone silent: back into the queue, or failed for good, or cancelled.
-- A waiting run without attempts left (their number was lowered) is failed as well, as nobody would claim it.
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

-- name: retry
-- Queues a failed run again. Its attempts so far do not count any more; their number goes on growing.
UPDATE validation_runs
SET status = %(target)s, uncounted_attempts = attempt, next_attempt_at = NULL, cancel_requested_at = NULL,
    finished_at = NULL, error_code = NULL, error_params = '{}', error_message = NULL,
    progress = 0, bytes_parsed = 0, total_rows = 0, processed_rows = 0, rejected_rows = 0,
    error_count = 0, warning_count = 0, optimization_count = 0, info_count = 0
WHERE id = %(id)s AND owner = %(owner)s AND status = 'FAILED' AND blob_key = %(blob_key)s
RETURNING {run_columns};

-- name: lock
-- Reads a run of an owner, and keeps everybody else from changing it until the end of the transaction.
SELECT {run_columns}
FROM validation_runs
WHERE id = %(id)s AND (%(owner)s::text IS NULL OR owner = %(owner)s)
FOR UPDATE;

-- name: delete
-- Forgets a run, and the key of its file.
WITH erased AS (DELETE FROM data_keys WHERE run_id = %(id)s)
DELETE FROM validation_runs WHERE id = %(id)s;

-- name: ended_with_blob
-- Finds ended runs whose file is still there: their worker died between commit and deletion, or they failed, and are
-- past the time that their files are kept for another try.
SELECT id, blob_key
FROM validation_runs
WHERE blob_key IS NOT NULL AND status = ANY(%(ended)s)
    AND finished_at <= now() - make_interval(secs =>
        CASE status WHEN 'FAILED' THEN %(failed_older_than_seconds)s ELSE %(older_than_seconds)s END::double precision)
ORDER BY id
LIMIT %(limit)s;

-- name: forget_blob
-- Notes that the file of an ended run is about to be deleted; no row if the run has been queued again meanwhile.
WITH forgotten AS (
    UPDATE validation_runs
    SET blob_key = NULL
    WHERE id = %(id)s AND blob_key = %(blob_key)s AND status = ANY(%(ended)s)
    RETURNING id
), erased AS (
    DELETE FROM data_keys WHERE run_id IN (SELECT id FROM forgotten)
)
SELECT id FROM forgotten;

-- name: known_blobs
-- Says which of some files belong to a run.
SELECT blob_key FROM validation_runs WHERE blob_key = ANY(%(keys)s);
