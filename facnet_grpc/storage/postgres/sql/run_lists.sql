-- Several runs at once.

-- name: get_many
-- Reads several runs; those that do not exist are left out.
SELECT {run_columns} FROM validation_runs WHERE id = ANY(%(ids)s);

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
