-- Keys of the encrypted columns of a run's rows.

-- name: make
-- Stores the key of a run, unless this transaction has made one already; returns the one that holds.
WITH made AS (
    INSERT INTO row_keys (run_id, key_id, wrapped)
    VALUES (%(run_id)s, %(key_id)s, %(wrapped)s)
    ON CONFLICT (run_id) DO NOTHING
    RETURNING key_id, wrapped
)
SELECT key_id, wrapped FROM made
UNION ALL
SELECT key_id, wrapped FROM row_keys WHERE run_id = %(run_id)s;

-- name: find
-- Reads the key of a run.
SELECT key_id, wrapped FROM row_keys WHERE run_id = %(run_id)s;

-- name: forget
-- Deletes keys: nobody can read these runs' patients any more.
DELETE FROM row_keys WHERE run_id = ANY(%(ids)s);
