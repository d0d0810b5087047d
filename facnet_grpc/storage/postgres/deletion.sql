-- Deletion of runs: a run is taken at once, and its rows are swept in pieces.

-- fragment: is_old
status = ANY(%(ended)s)
    AND finished_at <= now() - make_interval(secs => %(older_than_seconds)s::double precision)
    AND (%(owner)s::text IS NULL OR owner = %(owner)s)

-- name: count_old_runs
-- Counts runs that ended longer ago.
SELECT count(*) FROM validation_runs WHERE {is_old};

-- name: lock_old_runs
-- Locks runs that ended longer ago, those that ended first; skips runs that another transaction has locked.
SELECT id FROM validation_runs WHERE {is_old} ORDER BY finished_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED;

-- name: take_runs
-- Deletes runs with their uploads, keys and revalidations, appends to the audit log, and registers their rows for the
-- sweep.
WITH taken AS (
    DELETE FROM validation_runs WHERE id = ANY(%(ids)s)
    RETURNING id, owner, status, size_bytes, processed_rows, rejected_rows,
        error_count + warning_count + optimization_count + info_count AS results
), deleted_uploads AS (
    DELETE FROM uploads WHERE run_id IN (SELECT id FROM taken) RETURNING id
), deleted_file_keys AS (
    DELETE FROM data_keys WHERE run_id IN (SELECT id FROM taken) OR upload_id IN (SELECT id FROM deleted_uploads)
), deleted_revalidations AS (
    DELETE FROM revalidations WHERE run_id IN (SELECT id FROM taken) RETURNING id
), deleted_changes AS (
    DELETE FROM revalidation_changes WHERE revalidation_id IN (SELECT id FROM deleted_revalidations)
), deleted_revalidated_results AS (
    DELETE FROM revalidated_results WHERE run_id IN (SELECT id FROM deleted_revalidations)
), deleted_row_keys AS (
    DELETE FROM row_keys WHERE run_id IN (SELECT id FROM taken UNION ALL SELECT id FROM deleted_revalidations)
), audited AS (
    INSERT INTO audit_log (owner, action, run_id, detail)
    SELECT owner, %(action)s, id, jsonb_build_object('status', status, 'size_bytes', size_bytes,
        'processed_rows', processed_rows, 'rejected_rows', rejected_rows, 'results', results)
    FROM taken
)
INSERT INTO erasures (run_id) SELECT id FROM taken RETURNING run_id;

-- name: lock_taken_run
-- Locks a taken run that still has rows, a given one or the one taken first; skips runs that are being swept.
SELECT run_id
FROM erasures
WHERE %(run_id)s::uuid IS NULL OR run_id = %(run_id)s
ORDER BY taken_at
LIMIT 1
FOR UPDATE SKIP LOCKED;

-- name: delete_records
-- Deletes some accepted lines of a run.
DELETE FROM billing_records
WHERE ctid = ANY(ARRAY(SELECT ctid FROM billing_records WHERE run_id = %(run_id)s LIMIT %(limit)s));

-- name: delete_results
-- Deletes some results of a run.
DELETE FROM validation_results
WHERE ctid = ANY(ARRAY(SELECT ctid FROM validation_results WHERE run_id = %(run_id)s LIMIT %(limit)s));

-- name: delete_rejected
-- Deletes some rejected lines of a run.
DELETE FROM rejected_rows
WHERE ctid = ANY(ARRAY(SELECT ctid FROM rejected_rows WHERE run_id = %(run_id)s LIMIT %(limit)s));

-- name: delete_log_entries
-- Deletes some log entries of a run.
DELETE FROM validation_logs
WHERE ctid = ANY(ARRAY(SELECT ctid FROM validation_logs WHERE run_id = %(run_id)s LIMIT %(limit)s));

-- name: delete_taken_run
-- Removes a run that has no rows left from the sweep.
DELETE FROM erasures WHERE run_id = %(run_id)s;
