-- The rejected lines of a run.

-- name: page
-- Lists rejected lines in the order of the file, after the line `after`.
SELECT record_number, column_name, reason, raw
FROM rejected_rows
WHERE run_id = %(run_id)s AND record_number > %(after)s
ORDER BY record_number
LIMIT %(limit)s;
