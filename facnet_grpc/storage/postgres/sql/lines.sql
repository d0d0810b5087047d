-- The accepted lines of a run, read back.

-- name: page
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

-- name: for_rules
-- Lists what rules read of lines, in the order of the file, after the line `after`: the columns of RULE_SCHEMA.
SELECT record_number, invoice, ramq_id, service_date, start_time, end_time, payment_period, place, code, units, role,
    context, preliminary_cents, paid_cents, doctor_key, doctor_name, encode(patient_key, 'hex') AS patient_key,
    encode(patient_name, 'hex') AS patient_name
FROM billing_records
WHERE run_id = %(run_id)s AND record_number > %(after)s
ORDER BY record_number
LIMIT %(limit)s;
