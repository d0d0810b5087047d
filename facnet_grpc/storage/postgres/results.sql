-- The results of a run.

-- name: select_results
-- Reads results in their order, after the result `after`.
SELECT result_number, rule_id, rule_version, scenario, severity, category, certainty, record_number, affected_records,
    ramq_ids, doctor_key, doctor_name, patient_key, service_date, at_risk_cents, potential_gain_cents, data
FROM validation_results
WHERE run_id = %(run_id)s
    AND result_number > %(after)s
    AND (%(rule_ids)s::text[] IS NULL OR rule_id = ANY(%(rule_ids)s))
    AND (%(severities)s::text[] IS NULL OR severity = ANY(%(severities)s))
    AND (%(categories)s::text[] IS NULL OR category = ANY(%(categories)s))
    AND (%(scenarios)s::text[] IS NULL OR scenario = ANY(%(scenarios)s))
    AND (%(doctor_keys)s::text[] IS NULL OR doctor_key = ANY(%(doctor_keys)s))
    AND (%(service_date_from)s::date IS NULL OR service_date >= %(service_date_from)s)
    AND (%(service_date_to)s::date IS NULL OR service_date <= %(service_date_to)s)
ORDER BY result_number
LIMIT %(limit)s;

-- name: select_doctor_keys
-- Lists the doctors of a run's results.
SELECT DISTINCT doctor_key FROM validation_results WHERE run_id = %(run_id)s AND doctor_key IS NOT NULL;
