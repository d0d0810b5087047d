-- Uploads that are not finished yet, or have just become a run.

-- fragment: upload_columns
id, owner, file_name, committed_bytes, expires_at, run_id

-- name: open
-- Begins an upload, or goes on with it; no row if the id belongs to somebody else.
INSERT INTO uploads (id, owner, file_name, expires_at)
VALUES (%(id)s, %(owner)s, %(file_name)s, now() + make_interval(secs => %(ttl_seconds)s))
ON CONFLICT (id) DO UPDATE SET expires_at = GREATEST(uploads.expires_at, EXCLUDED.expires_at)
    WHERE uploads.owner = EXCLUDED.owner
RETURNING {upload_columns};

-- name: get
-- Reads an upload of an owner.
SELECT {upload_columns} FROM uploads WHERE id = %(id)s AND owner = %(owner)s;

-- name: touch
-- Notes how much is safely stored, and for how long it is kept.
UPDATE uploads
SET committed_bytes = %(committed_bytes)s, expires_at = now() + make_interval(secs => %(ttl_seconds)s)
WHERE id = %(id)s;

-- name: finished
-- Reads which run an upload became, after whoever is just finishing it.
SELECT run_id FROM uploads WHERE id = %(id)s FOR UPDATE;

-- name: finish
-- Notes which run an upload became, and that the key of its file is that run's: unless the run has its file from another
-- upload, or had. Then the key goes with the upload.
WITH handed_over AS (
    UPDATE data_keys SET run_id = %(run_id)s
    WHERE upload_id = %(id)s
        AND NOT EXISTS (SELECT FROM data_keys WHERE run_id = %(run_id)s)
        AND EXISTS (SELECT FROM validation_runs WHERE id = %(run_id)s AND blob_key IS NOT NULL)
)
UPDATE uploads SET run_id = %(run_id)s WHERE id = %(id)s;

-- name: count_open
-- Counts an owner's uploads that are still going on.
SELECT count(*) AS open FROM uploads WHERE owner = %(owner)s AND run_id IS NULL AND expires_at > now();

-- name: has_unfinished_runs
-- Says whether an owner has so many runs that are not over. Those that are not over are few, and have indexes.
SELECT 1 FROM (
    SELECT FROM validation_runs WHERE owner = %(owner)s AND status = 'QUEUED'
    UNION ALL
    SELECT FROM validation_runs WHERE owner = %(owner)s AND status = 'PROCESSING'
) AS unfinished OFFSET %(before_last)s LIMIT 1;

-- name: expired
-- Finds uploads that are past their date.
SELECT {upload_columns} FROM uploads WHERE expires_at <= now() ORDER BY expires_at LIMIT %(limit)s;

-- name: known
-- Says which of some uploads exist.
SELECT id FROM uploads WHERE id = ANY(%(ids)s);

-- name: delete
-- Forgets an upload that is past its date, and the key of its part; one that has been gone on with stays.
WITH gone AS (DELETE FROM uploads WHERE id = %(id)s AND expires_at <= now() RETURNING id),
    erased AS (DELETE FROM data_keys WHERE upload_id IN (SELECT id FROM gone) AND run_id IS NULL)
SELECT id FROM gone;
