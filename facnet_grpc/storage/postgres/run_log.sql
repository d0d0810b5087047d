-- The log entries of a run, for operators.

-- name: insert_entry
-- Appends an entry.
INSERT INTO validation_logs (run_id, level, source, event, data)
VALUES (%(run_id)s, %(level)s, %(source)s, %(event)s, %(data)s);

-- name: select_entries
-- Reads entries in their order, after the entry `after`.
SELECT log_number, logged_at, level, source, event, data
FROM validation_logs
WHERE run_id = %(run_id)s
    AND log_number > %(after)s
    AND level = ANY(%(levels)s)
    AND (%(source)s::text IS NULL OR source = %(source)s)
ORDER BY log_number
LIMIT %(limit)s;
