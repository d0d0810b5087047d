-- The accepted lines of a run.

-- name: try_lock
-- Makes this transaction the only one that writes rows of a run; false if another one is it.
SELECT pg_try_advisory_xact_lock(hashtextextended(%(run_id)s::text, 0)) AS locked;

-- name: lock
-- The same, waiting for the other one to end.
SELECT pg_advisory_xact_lock(hashtextextended(%(run_id)s::text, 0));

-- name: evict
-- Ends the session that writes rows of a run.
SELECT pg_terminate_backend(pid)
FROM pg_locks
WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND pid <> pg_backend_pid()
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND ((classid::bigint << 32) | objid::bigint) = hashtextextended(%(run_id)s::text, 0);

-- The accepted lines of a run, read back.

-- name: record_page
-- Lists lines in the order of the file, after the line `after`; only certain ones if `numbers` has any.
SELECT record_number, invoice, ramq_id, service_date, start_time, end_time, payment_period, place, activity_sector,
    diagnosis, code, units, role, context, preliminary_cents, paid_cents, doctor_key, doctor_name,
    encode(patient_key, 'hex') AS patient_key, agency
FROM billing_records
WHERE run_id = %(run_id)s
    AND record_number > %(after)s
    AND (%(numbers)s::bigint[] IS NULL OR record_number = ANY(%(numbers)s::bigint[]))
ORDER BY record_number
LIMIT %(limit)s;

-- name: read_for_rules
-- Lists what rules read of lines, in the order of the file, after the line `after`: the columns of RULE_SCHEMA.
SELECT record_number, invoice, ramq_id, service_date, start_time, end_time, payment_period, place, code, units, role,
    context, preliminary_cents, paid_cents, doctor_key, doctor_name, encode(patient_key, 'hex') AS patient_key,
    encode(patient_name, 'hex') AS patient_name
FROM billing_records
WHERE run_id = %(run_id)s AND record_number > %(after)s
ORDER BY record_number
LIMIT %(limit)s;

-- The rejected lines of a run.

-- name: rejected_page
-- Lists rejected lines in the order of the file, after the line `after`.
SELECT record_number, column_name, reason, raw
FROM rejected_rows
WHERE run_id = %(run_id)s AND record_number > %(after)s
ORDER BY record_number
LIMIT %(limit)s;
