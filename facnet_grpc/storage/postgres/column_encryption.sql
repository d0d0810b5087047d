-- Row keys: the keys of the encrypted columns of a run's rows, each wrapped by a key of the settings.

-- name: insert
-- Stores the key of a run, unless this transaction has stored one; returns the key that is stored. No row if another
-- transaction has stored one at the same time.
WITH inserted AS (
    INSERT INTO row_keys (run_id, key_id, wrapped)
    VALUES (%(run_id)s, %(key_id)s, %(wrapped)s)
    ON CONFLICT (run_id) DO NOTHING
    RETURNING key_id, wrapped
)
SELECT key_id, wrapped FROM inserted
UNION ALL
SELECT key_id, wrapped FROM row_keys WHERE run_id = %(run_id)s;

-- name: select
-- Reads the key of a run.
SELECT key_id, wrapped FROM row_keys WHERE run_id = %(run_id)s;

-- name: delete
-- Deletes the keys of runs.
DELETE FROM row_keys WHERE run_id = ANY(%(ids)s);
