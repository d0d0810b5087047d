-- Keys of encrypted files.

-- name: insert
-- Stores the key of a file; no row if it has one already.
INSERT INTO data_keys (upload_id, key_id, wrapped)
VALUES (%(upload_id)s, %(key_id)s, %(wrapped)s)
ON CONFLICT (upload_id) DO NOTHING
RETURNING upload_id;

-- name: select
-- Reads the key of a file and the blob key of its run, which is NULL while the file belongs to no run.
SELECT data_keys.key_id, data_keys.wrapped, validation_runs.blob_key
FROM data_keys
LEFT JOIN validation_runs ON validation_runs.id = data_keys.run_id
WHERE data_keys.upload_id = %(upload_id)s;
