-- Uploads that are open, or recently became a run.

-- fragment: upload_columns
id, owner, file_name, committed_bytes, expires_at, run_id

-- name: upsert_upload
-- Begins or continues an upload; no row if the id belongs to another owner.
INSERT INTO uploads (id, owner, file_name, expires_at)
VALUES (%(id)s, %(owner)s, %(file_name)s, now() + make_interval(secs => %(ttl_seconds)s))
ON CONFLICT (id) DO UPDATE SET expires_at = GREATEST(uploads.expires_at, EXCLUDED.expires_at)
    WHERE uploads.owner = EXCLUDED.owner
RETURNING {upload_columns};

-- name: select_upload
-- Reads an upload of an owner.
SELECT {upload_columns} FROM uploads WHERE id = %(id)s AND owner = %(owner)s;

-- name: update_committed
-- Stores how many bytes are committed, and extends the time to live.
UPDATE uploads
SET committed_bytes = %(committed_bytes)s, expires_at = now() + make_interval(secs => %(ttl_seconds)s)
WHERE id = %(id)s;

-- name: lock_upload
-- Reads which run an upload became, and locks the upload.
SELECT run_id FROM uploads WHERE id = %(id)s FOR UPDATE;

-- name: finish_upload
-- Stores which run an upload became, and hands the key of its file over to that run. If the run has or had its file
-- from another upload, the key stays with the upload and is deleted with it.
WITH handed_over AS (
    UPDATE data_keys SET run_id = %(run_id)s
    WHERE upload_id = %(id)s
        AND NOT EXISTS (SELECT FROM data_keys WHERE run_id = %(run_id)s)
        AND EXISTS (SELECT FROM validation_runs WHERE id = %(run_id)s AND blob_key IS NOT NULL)
)
UPDATE uploads SET run_id = %(run_id)s WHERE id = %(id)s;

-- name: count_open
-- Counts the open uploads of an owner.
SELECT count(*) AS open FROM uploads WHERE owner = %(owner)s AND run_id IS NULL AND expires_at > now();

-- name: select_unfinished_run
-- Returns a row if an owner has at least so many unfinished runs. Unfinished runs are few and indexed.
SELECT 1 FROM (
    SELECT FROM validation_runs WHERE owner = %(owner)s AND status = 'QUEUED'
    UNION ALL
    SELECT FROM validation_runs WHERE owner = %(owner)s AND status = 'PROCESSING'
) AS unfinished OFFSET %(before_last)s LIMIT 1;

-- name: select_expired
-- Lists uploads whose time to live is over.
SELECT {upload_columns} FROM uploads WHERE expires_at <= now() ORDER BY expires_at LIMIT %(limit)s;

-- name: select_existing
-- Lists those of some uploads that exist.
SELECT id FROM uploads WHERE id = ANY(%(ids)s);

-- name: delete_expired
-- Deletes an upload whose time to live is over, and the key of its part; no row if somebody has continued it.
WITH gone AS (DELETE FROM uploads WHERE id = %(id)s AND expires_at <= now() RETURNING id),
    erased AS (DELETE FROM data_keys WHERE upload_id IN (SELECT id FROM gone) AND run_id IS NULL)
SELECT id FROM gone;
