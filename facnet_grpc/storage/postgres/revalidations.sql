-- Revalidations of completed runs: requested by the server, done by a worker, read by the server, deleted.

-- fragment: result_columns
result_number, rule_id, rule_version, scenario, severity, category, certainty, record_number, affected_records,
    ramq_ids, doctor_key, doctor_name, patient_key, service_date, at_risk_cents, potential_gain_cents, data

-- name: insert_revalidation
-- Stores a request.
INSERT INTO revalidations (id, run_id) VALUES (%(id)s, %(run_id)s);

-- name: select_revalidation
-- Reads a revalidation.
SELECT id, run_id, done_at IS NOT NULL AS done, error_code, added, gone, changed, unchanged, rule_set_version,
    reference_version
FROM revalidations
WHERE id = %(id)s;

-- name: start_attempt
-- Counts an attempt, or fails the revalidation if it had too many. No row if it is done or deleted.
UPDATE revalidations
SET attempts = attempts + 1, began_at = clock_timestamp(),
    done_at = CASE WHEN attempts >= %(max_attempts)s THEN clock_timestamp() END,
    error_code = CASE WHEN attempts >= %(max_attempts)s THEN 'WORKER_CRASHED' END
WHERE id = %(id)s AND done_at IS NULL
RETURNING run_id, done_at IS NOT NULL AS given_up;

-- name: insert_changes
-- Compares results by rule, scenario, main line, doctor and day; several with the same key are paired in their order.
-- Equal results leave no row.
WITH
before AS (
    SELECT *, row_number() OVER (
        PARTITION BY rule_id, scenario, record_number, doctor_key, service_date ORDER BY result_number
    ) AS nth
    FROM validation_results
    WHERE run_id = %(run_id)s
),
after AS (
    SELECT *, row_number() OVER (
        PARTITION BY rule_id, scenario, record_number, doctor_key, service_date ORDER BY result_number
    ) AS nth
    FROM revalidated_results
    WHERE run_id = %(id)s
),
pairs AS (
    SELECT before.result_number AS before_number, after.result_number AS after_number,
        coalesce(before.rule_id, after.rule_id) COLLATE "C" AS rule_id,
        coalesce(before.record_number, after.record_number, 0) AS record_number,
        (before.severity, before.category, before.certainty, before.affected_records, before.at_risk_cents,
            before.potential_gain_cents, before.data)
        IS DISTINCT FROM
        (after.severity, after.category, after.certainty, after.affected_records, after.at_risk_cents,
            after.potential_gain_cents, after.data) AS differs
    FROM before
    FULL JOIN after ON before.rule_id = after.rule_id
        AND before.scenario = after.scenario
        AND coalesce(before.record_number, 0) = coalesce(after.record_number, 0)
        AND coalesce(before.doctor_key, '') = coalesce(after.doctor_key, '')
        AND coalesce(before.service_date, '-infinity') = coalesce(after.service_date, '-infinity')
        AND before.nth = after.nth
)
INSERT INTO revalidation_changes (revalidation_id, change_number, kind, before_number, after_number)
SELECT %(id)s,
    row_number() OVER (ORDER BY rule_id, record_number, before_number NULLS LAST, after_number NULLS FIRST),
    CASE WHEN before_number IS NULL THEN 'added' WHEN after_number IS NULL THEN 'gone' ELSE 'changed' END,
    before_number,
    after_number
FROM pairs
WHERE differs;

-- name: finish_revalidation
-- Stores the counts of changes. No row if the revalidation was deleted.
UPDATE revalidations
SET done_at = clock_timestamp(), rule_set_version = %(rule_set_version)s, reference_version = %(reference_version)s,
    added = found.added, gone = found.gone, changed = found.changed,
    unchanged = %(results)s - found.added - found.changed
FROM (
    SELECT count(*) FILTER (WHERE kind = 'added') AS added, count(*) FILTER (WHERE kind = 'gone') AS gone,
        count(*) FILTER (WHERE kind = 'changed') AS changed
    FROM revalidation_changes
    WHERE revalidation_id = %(id)s
) AS found
WHERE id = %(id)s
RETURNING id;

-- name: fail_revalidation
-- Ends a revalidation with an error.
UPDATE revalidations SET done_at = clock_timestamp(), error_code = %(error_code)s WHERE id = %(id)s AND done_at IS NULL;

-- name: select_changes
-- Reads changes in their order.
SELECT change_number, kind, before_number, after_number
FROM revalidation_changes
WHERE revalidation_id = %(id)s AND change_number > %(after)s
ORDER BY change_number
LIMIT %(limit)s;

-- name: select_results_before
-- Reads results of the run by their numbers.
SELECT {result_columns} FROM validation_results WHERE run_id = %(id)s AND result_number = ANY(%(numbers)s);

-- name: select_results_after
-- Reads results of the revalidation by their numbers.
SELECT {result_columns} FROM revalidated_results WHERE run_id = %(id)s AND result_number = ANY(%(numbers)s);

-- name: select_queued
-- Lists revalidations that wait for a worker, oldest first.
SELECT id
FROM revalidations
WHERE done_at IS NULL AND asked_at <= clock_timestamp() - make_interval(secs => %(older_than_seconds)s)
ORDER BY asked_at
LIMIT %(limit)s;

-- name: select_expired
-- Lists revalidations whose time to live is over; failed ones have their own.
SELECT id
FROM revalidations
WHERE coalesce(done_at, asked_at) < clock_timestamp() - make_interval(secs =>
    CASE WHEN error_code IS NULL THEN %(ttl_seconds)s ELSE %(failed_ttl_seconds)s END::double precision)
LIMIT %(limit)s;

-- name: select_failed
-- Returns a row if the revalidation failed.
SELECT 1 FROM revalidations WHERE id = %(id)s AND error_code IS NOT NULL;

-- name: delete_revalidations
-- Deletes revalidations.
DELETE FROM revalidations WHERE id = ANY(%(ids)s);

-- name: delete_changes
-- Deletes the changes of revalidations.
DELETE FROM revalidation_changes WHERE revalidation_id = ANY(%(ids)s);

-- name: delete_results
-- Deletes the results of revalidations.
DELETE FROM revalidated_results WHERE run_id = ANY(%(ids)s);

-- name: select_file_understood
-- Reads how the run's file was understood when it was last read.
SELECT data FROM validation_logs
WHERE run_id = %(run_id)s AND event = 'file_understood'
ORDER BY log_number DESC
LIMIT 1;
