-- Taking everything of a run away, and noting that it was done.

-- name: records
-- Removes the lines.
DELETE FROM billing_records WHERE run_id = %(run_id)s;

-- name: rejects
-- Removes the rejected lines.
DELETE FROM rejected_rows WHERE run_id = %(run_id)s;

-- name: results
-- Removes what the rules found.
DELETE FROM validation_results WHERE run_id = %(run_id)s;

-- name: logs
-- Removes what happened to the run.
DELETE FROM validation_logs WHERE run_id = %(run_id)s;

-- name: uploads
-- Removes what is known of how the file came: its name, and keys of what was sent twice.
WITH gone AS (DELETE FROM uploads WHERE run_id = %(run_id)s RETURNING id),
    erased AS (DELETE FROM data_keys WHERE upload_id IN (SELECT id FROM gone))
SELECT id FROM gone;

-- name: revalidations
-- Removes second judgements that somebody is just asking for.
WITH asked AS (DELETE FROM revalidations WHERE run_id = %(run_id)s RETURNING id),
    changes AS (DELETE FROM revalidation_changes WHERE revalidation_id IN (SELECT id FROM asked)),
    keys AS (DELETE FROM row_keys WHERE run_id IN (SELECT id FROM asked))
DELETE FROM revalidated_results WHERE run_id IN (SELECT id FROM asked);

-- name: note
-- Appends a line to the audit log.
INSERT INTO audit_log (owner, action, run_id, detail) VALUES (%(owner)s, %(action)s, %(run_id)s, %(detail)s);
