-- Batches: the runs of an owner that were submitted under one name.

-- fragment: mine
owner = %(owner)s AND batch_id = %(batch_id)s

-- fragment: is_over
status IN ('COMPLETED', 'FAILED', 'CANCELLED')

-- name: select_totals
-- Sums up the runs of a batch. A run that has ended counts as fully parsed, however it ended; an empty file weighs a
-- byte.
SELECT
    count(*) FILTER (WHERE status = 'QUEUED') AS queued,
    count(*) FILTER (WHERE status = 'PROCESSING') AS processing,
    count(*) FILTER (WHERE status = 'COMPLETED') AS completed,
    count(*) FILTER (WHERE status = 'FAILED') AS failed,
    count(*) FILTER (WHERE status = 'CANCELLED') AS cancelled,
    sum(CASE WHEN {is_over} THEN size_bytes ELSE bytes_parsed END)::bigint AS bytes_parsed,
    sum(size_bytes)::bigint AS total_bytes,
    sum(greatest(size_bytes, 1) * CASE WHEN {is_over} THEN 100 ELSE progress END)
        / sum(greatest(size_bytes, 1)) AS percent,
    sum(total_rows)::bigint AS total_rows,
    sum(processed_rows)::bigint AS processed_rows,
    sum(rejected_rows)::bigint AS rejected_rows,
    sum(error_count)::bigint AS error,
    sum(warning_count)::bigint AS warning,
    sum(optimization_count)::bigint AS optimization,
    sum(info_count)::bigint AS info,
    min(started_at) AS started_at
FROM validation_runs
WHERE {mine}
HAVING count(*) > 0;

-- name: select_amounts
-- Sums up the amounts of the completed runs of a batch.
SELECT
    COALESCE(sum((summary ->> 'at_risk_cents')::bigint), 0)::bigint AS at_risk_cents,
    COALESCE(sum((summary ->> 'potential_gain_cents')::bigint), 0)::bigint AS potential_gain_cents
FROM validation_runs
WHERE {mine} AND status = 'COMPLETED';

-- name: select_run_ids
-- Lists the runs of a batch, oldest first.
SELECT id FROM validation_runs WHERE {mine} ORDER BY id LIMIT %(limit)s;

-- name: select_duplicates
-- Finds lines that are in more than one file of a batch: first the RAMQ ids in several files, which are few and need
-- little memory, then lines with such an id that agree in the other columns. A line of zero cents or less reverses
-- another line, and is no duplicate.
WITH files AS MATERIALIZED (
    SELECT id, file_name, row_number() OVER (ORDER BY id) AS file
    FROM validation_runs
    WHERE {mine} AND status = 'COMPLETED'
), suspects AS MATERIALIZED (
    SELECT ramq_id
    FROM billing_records
    JOIN files ON run_id = id
    WHERE ramq_id IS NOT NULL AND preliminary_cents > 0
    GROUP BY ramq_id
    HAVING min(file) <> max(file)
)
SELECT ramq_id, code, service_date, doctor_key, max(doctor_name) AS doctor_name, count(*) AS count,
    count(*) OVER () AS total,
    (array_agg(id ORDER BY file, record_number))[:%(places)s] AS run_ids,
    (array_agg(file_name ORDER BY file, record_number))[:%(places)s] AS file_names,
    (array_agg(record_number ORDER BY file, record_number))[:%(places)s] AS record_numbers
FROM billing_records
JOIN files ON run_id = id
JOIN suspects USING (ramq_id)
WHERE preliminary_cents > 0
GROUP BY ramq_id, code, service_date, doctor_key
HAVING min(file) <> max(file)
ORDER BY service_date, code, ramq_id, doctor_key
LIMIT %(limit)s;
