-- Who has seen persons as they are.

-- name: note
-- Appends a line.
INSERT INTO phi_access_log (owner, subject, action, run_id, row_count, request_id)
VALUES (%(owner)s, %(subject)s, %(action)s, %(run_id)s, %(row_count)s, %(request_id)s);
