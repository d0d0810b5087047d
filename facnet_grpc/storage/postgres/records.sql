-- The accepted and the rejected lines of a run. The transaction that writes them holds the advisory lock of the run.

-- name: try_lock_rows
-- Takes the advisory lock of a run until the end of the transaction; false if another transaction has it.
SELECT pg_try_advisory_xact_lock(hashtextextended(%(run_id)s::text, 0)) AS locked;

-- name: lock_rows
-- Takes the advisory lock of a run until the end of the transaction; waits for it.
SELECT pg_advisory_xact_lock(hashtextextended(%(run_id)s::text, 0));

-- name: terminate_writer
-- Ends the session that holds the advisory lock of a run.
SELECT pg_terminate_backend(pid)
FROM pg_locks
WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND pid <> pg_backend_pid()
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND ((classid::bigint << 32) | objid::bigint) = hashtextextended(%(run_id)s::text, 0);

-- name: select_records
-- Reads lines in the order of the file, after the line `after`; only those in `numbers` if it is not null.
SELECT record_number, invoice, ramq_id, service_date, start_time, end_time, payment_period, place, activity_sector,
    diagnosis, code, units, role, context, preliminary_cents, paid_cents, doctor_key, doctor_name,
    encode(patient_key, 'hex') AS patient_key, agency
FROM billing_records
WHERE run_id = %(run_id)s
    AND record_number > %(after)s
    AND (%(numbers)s::bigint[] IS NULL OR record_number = ANY(%(numbers)s::bigint[]))
ORDER BY record_number
LIMIT %(limit)s;

-- name: select_records_for_rules
-- Reads the columns of RULE_SCHEMA, in the order of the file, after the line `after`.
SELECT record_number, invoice, ramq_id, service_date, start_time, end_time, payment_period, place, code, units, role,
    context, preliminary_cents, paid_cents, doctor_key, doctor_name, encode(patient_key, 'hex') AS patient_key,
    encode(patient_name, 'hex') AS patient_name
FROM billing_records
WHERE run_id = %(run_id)s AND record_number > %(after)s
ORDER BY record_number
LIMIT %(limit)s;

-- name: select_rejected
-- Reads rejected lines in the order of the file, after the line `after`.
SELECT record_number, column_name, reason, raw
FROM rejected_rows
WHERE run_id = %(run_id)s AND record_number > %(after)s
ORDER BY record_number
LIMIT %(limit)s;
