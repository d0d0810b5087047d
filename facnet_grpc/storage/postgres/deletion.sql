-- Taking runs away that have been kept long enough.

-- fragment: wanted
(%(owner)s::text IS NULL OR owner = %(owner)s)

-- name: count_old
-- Counts runs that have ended longer ago.
SELECT count(*)
FROM validation_runs
WHERE status = ANY(%(ended)s)
    AND finished_at <= now() - make_interval(secs => %(older_than_seconds)s::double precision)
    AND {wanted};

-- name: take
-- Forgets runs that have ended longer ago, notes it, and remembers that their rows are to be removed.
WITH old AS (
    SELECT id
    FROM validation_runs
    WHERE status = ANY(%(ended)s)
        AND finished_at <= now() - make_interval(secs => %(older_than_seconds)s::double precision)
        AND {wanted}
    ORDER BY finished_at
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM validation_runs AS run USING old WHERE run.id = old.id
    RETURNING run.id, run.owner, run.status, run.size_bytes
), files AS (
    DELETE FROM uploads WHERE run_id IN (SELECT id FROM gone) RETURNING id
), keys AS (
    DELETE FROM data_keys WHERE run_id IN (SELECT id FROM gone) OR upload_id IN (SELECT id FROM files)
), row_keys AS (
    DELETE FROM row_keys WHERE run_id IN (SELECT id FROM gone)
), noted AS (
    INSERT INTO audit_log (owner, action, run_id, detail)
    SELECT owner, %(action)s, id, jsonb_build_object('status', status, 'size_bytes', size_bytes) FROM gone
)
INSERT INTO erasures (run_id) SELECT id FROM gone RETURNING run_id;

-- name: next
-- Finds a run whose rows are to be removed, and that nobody is at.
SELECT run_id FROM erasures ORDER BY taken_at LIMIT 1 FOR UPDATE SKIP LOCKED;

-- name: records
-- Removes some lines.
DELETE FROM billing_records
WHERE ctid = ANY(ARRAY(SELECT ctid FROM billing_records WHERE run_id = %(run_id)s LIMIT %(limit)s));

-- name: results
-- Removes some results.
DELETE FROM validation_results
WHERE ctid = ANY(ARRAY(SELECT ctid FROM validation_results WHERE run_id = %(run_id)s LIMIT %(limit)s));

-- name: rejects
-- Removes some rejected lines.
DELETE FROM rejected_rows
WHERE ctid = ANY(ARRAY(SELECT ctid FROM rejected_rows WHERE run_id = %(run_id)s LIMIT %(limit)s));

-- name: logs
-- Removes some of what happened.
DELETE FROM validation_logs
WHERE ctid = ANY(ARRAY(SELECT ctid FROM validation_logs WHERE run_id = %(run_id)s LIMIT %(limit)s));

-- name: done
-- Forgets that a run was there.
DELETE FROM erasures WHERE run_id = %(run_id)s;
