-- Second judgements of completed runs: asked for by the server, worked out by a worker, read, forgotten.

-- fragment: result_columns
result_number, rule_id, rule_version, scenario, severity, category, certainty, record_number, affected_records,
    ramq_ids, doctor_key, doctor_name, patient_key, service_date, at_risk_cents, potential_gain_cents, data

-- name: ask
-- Notes that somebody wants to know.
INSERT INTO revalidations (id, run_id) VALUES (%(id)s, %(run_id)s);

-- name: get
-- Reads how far it is.
SELECT id, run_id, done_at IS NOT NULL AS done, error_code, added, gone, changed, unchanged, rule_set_version,
    reference_version
FROM revalidations
WHERE id = %(id)s;

-- name: begin
-- Counts an attempt; gives up instead if there were too many. No row if it is done or forgotten.
UPDATE revalidations
SET attempts = attempts + 1, began_at = clock_timestamp(),
    done_at = CASE WHEN attempts >= %(max_attempts)s THEN clock_timestamp() END,
    error_code = CASE WHEN attempts >= %(max_attempts)s THEN 'WORKER_CRASHED' END
WHERE id = %(id)s AND done_at IS NULL
RETURNING run_id, done_at IS NOT NULL AS given_up;

-- name: compare
-- Puts side by side what is about the same: rule, scenario, main line, doctor and day. Several of a kind are taken in
-- their order. What is the same on both sides leaves no row.
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

-- name: finish
-- Stores what it comes to. No row if nobody wants to know any more.
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

-- name: fail
-- Notes that it ended badly.
UPDATE revalidations SET done_at = clock_timestamp(), error_code = %(error_code)s WHERE id = %(id)s AND done_at IS NULL;

-- name: page
-- Lists changes in their order.
SELECT change_number, kind, before_number, after_number
FROM revalidation_changes
WHERE revalidation_id = %(id)s AND change_number > %(after)s
ORDER BY change_number
LIMIT %(limit)s;

-- name: results_before
-- Reads results of the run by their numbers.
SELECT {result_columns} FROM validation_results WHERE run_id = %(id)s AND result_number = ANY(%(numbers)s);

-- name: results_after
-- Reads results of the second judgement by their numbers.
SELECT {result_columns} FROM revalidated_results WHERE run_id = %(id)s AND result_number = ANY(%(numbers)s);

-- name: waiting
-- Lists what waits for a worker, longest first.
SELECT id
FROM revalidations
WHERE done_at IS NULL AND asked_at <= clock_timestamp() - make_interval(secs => %(older_than_seconds)s)
ORDER BY asked_at
LIMIT %(limit)s;

-- name: expired
-- Lists what nobody has come back for, and what has failed long enough ago.
SELECT id
FROM revalidations
WHERE coalesce(done_at, asked_at) < clock_timestamp() - make_interval(secs =>
    CASE WHEN error_code IS NULL THEN %(ttl_seconds)s ELSE %(failed_ttl_seconds)s END::double precision)
LIMIT %(limit)s;

-- name: has_failed
-- Says whether it ended badly.
SELECT 1 FROM revalidations WHERE id = %(id)s AND error_code IS NOT NULL;

-- name: forget
-- Removes it.
DELETE FROM revalidations WHERE id = ANY(%(ids)s);

-- name: forget_changes
-- Removes its changes.
DELETE FROM revalidation_changes WHERE revalidation_id = ANY(%(ids)s);

-- name: forget_results
-- Removes its results.
DELETE FROM revalidated_results WHERE run_id = ANY(%(ids)s);

-- name: found
-- Reads what the file was understood to be when it was last read.
SELECT data FROM validation_logs
WHERE run_id = %(run_id)s AND event = 'file_understood'
ORDER BY log_number DESC
LIMIT 1;
