-- Runs. Every change of a status names the statuses that it may come from (%(sources)s, from model/run.py). Times are
-- clock_timestamp(): now() is when the transaction began.

-- name: insert_run
-- Stores a new run; no row if the owner has used the idempotency key before.
INSERT INTO validation_runs
    (id, owner, batch_id, idempotency_key, file_name, size_bytes, sha256, blob_key, priority, labels, rule_ids,
     encoding_hint, delimiter_hint, large, traceparent, webhook_url, notify_by_mail)
VALUES
    (%(id)s, %(owner)s, %(batch_id)s, %(idempotency_key)s, %(file_name)s, %(size_bytes)s, %(sha256)s, %(blob_key)s,
     %(priority)s, %(labels)s, %(rule_ids)s, %(encoding_hint)s, %(delimiter_hint)s, %(large)s, %(traceparent)s,
     %(webhook_url)s, %(notify_by_mail)s)
ON CONFLICT (owner, idempotency_key) DO NOTHING
RETURNING {run_columns};

-- name: select_by_idempotency_key
-- Reads the run of an owner with an idempotency key.
SELECT {run_columns} FROM validation_runs WHERE owner = %(owner)s AND idempotency_key = %(key)s;

-- name: select_run
-- Reads a run, of one owner if one is given.
SELECT {run_columns}
FROM validation_runs
WHERE id = %(id)s AND (%(owner)s::text IS NULL OR owner = %(owner)s);

-- name: select_summary
-- Reads the summary of a completed run.
SELECT summary::text AS summary FROM validation_runs WHERE id = %(id)s;

-- name: request_cancel
-- Cancels a queued run at once, and requests that the worker of a running one cancels it.
UPDATE validation_runs
SET status = CASE status WHEN 'QUEUED' THEN %(target)s ELSE status END,
    finished_at = CASE status WHEN 'QUEUED' THEN clock_timestamp() END,
    next_attempt_at = NULL,
    cancel_requested_at = COALESCE(cancel_requested_at, clock_timestamp())
WHERE id = %(id)s AND (%(owner)s::text IS NULL OR owner = %(owner)s) AND status = ANY(%(sources)s)
RETURNING {run_columns};

-- name: clear_blob_key
-- Records that the file of a run is deleted, and deletes its key.
WITH erased AS (DELETE FROM data_keys WHERE run_id = %(id)s)
UPDATE validation_runs SET blob_key = NULL WHERE id = %(id)s;

-- name: requeue_failed
-- Queues a failed run again. Its attempts so far no longer count, but their number goes on growing.
UPDATE validation_runs
SET status = %(target)s, uncounted_attempts = attempt, next_attempt_at = NULL, cancel_requested_at = NULL,
    traceparent = COALESCE(%(traceparent)s, traceparent),
    finished_at = NULL, error_code = NULL, error_params = '{}', error_message = NULL,
    progress = 0, bytes_parsed = 0, total_rows = 0, processed_rows = 0, rejected_rows = 0,
    error_count = 0, warning_count = 0, optimization_count = 0, info_count = 0
WHERE id = %(id)s AND owner = %(owner)s AND status = 'FAILED' AND blob_key = %(blob_key)s
RETURNING {run_columns};

-- name: lock_run
-- Reads a run, of one owner if one is given, and locks it until the end of the transaction.
SELECT {run_columns}
FROM validation_runs
WHERE id = %(id)s AND (%(owner)s::text IS NULL OR owner = %(owner)s)
FOR UPDATE;

-- name: select_runs
-- Reads several runs; those that do not exist are left out.
SELECT {run_columns} FROM validation_runs WHERE id = ANY(%(ids)s);

-- name: select_page
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

-- name: select_ended_with_blob
-- Lists ended runs whose file still exists: their worker died between commit and deletion, or they failed and their
-- file has been kept long enough for a retry.
SELECT id, blob_key
FROM validation_runs
WHERE blob_key IS NOT NULL AND status = ANY(%(ended)s)
    AND finished_at <= now() - make_interval(secs =>
        CASE status WHEN 'FAILED' THEN %(failed_older_than_seconds)s ELSE %(older_than_seconds)s END::double precision)
ORDER BY id
LIMIT %(limit)s;

-- name: clear_blob_key_of_ended
-- Records that the file of an ended run is about to be deleted; no row if the run has been queued again.
WITH forgotten AS (
    UPDATE validation_runs
    SET blob_key = NULL
    WHERE id = %(id)s AND blob_key = %(blob_key)s AND status = ANY(%(ended)s)
    RETURNING id
), erased AS (
    DELETE FROM data_keys WHERE run_id IN (SELECT id FROM forgotten)
)
SELECT id FROM forgotten;

-- name: select_blob_keys
-- Lists those of some blob keys that belong to a run.
SELECT blob_key FROM validation_runs WHERE blob_key = ANY(%(keys)s);
