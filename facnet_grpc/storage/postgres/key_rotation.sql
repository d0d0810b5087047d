-- Keys that are wrapped under an older key of the settings.

-- name: lock_old_file_keys
-- Locks some keys of files; skips keys that another transaction has locked.
SELECT upload_id, key_id, wrapped FROM data_keys WHERE key_id = ANY(%(old_key_ids)s) LIMIT %(limit)s
FOR UPDATE SKIP LOCKED;

-- name: update_file_key
-- Stores a rewrapped key of a file.
UPDATE data_keys SET key_id = %(key_id)s, wrapped = %(wrapped)s WHERE upload_id = %(id)s;

-- name: lock_old_row_keys
-- Locks some keys of runs; skips keys that another transaction has locked.
SELECT run_id, key_id, wrapped FROM row_keys WHERE key_id = ANY(%(old_key_ids)s) LIMIT %(limit)s
FOR UPDATE SKIP LOCKED;

-- name: update_row_key
-- Stores a rewrapped key of a run.
UPDATE row_keys SET key_id = %(key_id)s, wrapped = %(wrapped)s WHERE run_id = %(id)s;
