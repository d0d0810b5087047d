-- Keys of encrypted files.

-- name: make
-- Stores the key of a file; no row if it has one already.
INSERT INTO data_keys (upload_id, key_id, wrapped)
VALUES (%(upload_id)s, %(key_id)s, %(wrapped)s)
ON CONFLICT (upload_id) DO NOTHING
RETURNING upload_id;

-- name: find
-- Reads the key of a file.
SELECT key_id, wrapped FROM data_keys WHERE upload_id = %(upload_id)s;
