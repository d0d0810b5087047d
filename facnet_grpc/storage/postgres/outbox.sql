-- What is owed to those who want to hear that a run has ended. Rows are made by a trigger (see schema.sql).

-- name: claim
-- Takes what is due, for one attempt each, so that nobody else does until the lease is over. What has never been tried
-- comes first: receivers that are away must not keep others waiting.
UPDATE notifications
SET attempts = attempts + 1, due_at = clock_timestamp() + make_interval(secs => %(lease_seconds)s)
WHERE id = ANY(ARRAY(
    SELECT id
    FROM notifications
    WHERE ended_at IS NULL AND due_at <= clock_timestamp()
    ORDER BY attempts > 0, due_at
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
))
RETURNING id, run_id, channel, owner, status, url, data, created_at, attempts AS attempt,
    EXTRACT(EPOCH FROM clock_timestamp() - created_at)::double precision AS age_seconds;

-- name: end
-- Notes what became of one. Nothing changes if somebody else has taken it since.
UPDATE notifications
SET ended_at = clock_timestamp(), outcome = %(outcome)s
WHERE id = %(id)s AND attempts = %(attempt)s AND ended_at IS NULL;

-- name: postpone
-- Puts one off. Nothing changes if somebody else has taken it since.
UPDATE notifications
SET due_at = clock_timestamp() + make_interval(secs => %(seconds)s)
WHERE id = %(id)s AND attempts = %(attempt)s AND ended_at IS NULL;

-- name: figures
-- Counts what is owed, and says for how many seconds the oldest one has been.
SELECT count(*), COALESCE(EXTRACT(EPOCH FROM clock_timestamp() - min(created_at)), 0)
FROM notifications
WHERE ended_at IS NULL;

-- name: forget
-- Removes some of those that ended longer ago.
DELETE FROM notifications
WHERE id = ANY(ARRAY(
    SELECT id
    FROM notifications
    WHERE ended_at <= now() - make_interval(secs => %(older_than_seconds)s::double precision)
    LIMIT %(limit)s
));
