-- The access log of patients in clear text.

-- name: insert_phi_access
-- Records that a caller read patients in clear text.
INSERT INTO phi_access_log (owner, subject, action, run_id, row_count, request_id)
VALUES (%(owner)s, %(subject)s, %(action)s, %(run_id)s, %(row_count)s, %(request_id)s);
