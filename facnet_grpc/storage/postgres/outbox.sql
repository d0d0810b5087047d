-- The outbox of notifications about ended runs. A trigger fills it (see schema.sql).

-- name: claim_notifications
-- Claims due notifications for one attempt each, until their lease ends. Those never tried come first, so that
-- receivers that are down do not delay others.
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

-- name: finish_notification
-- Stores the outcome of a notification, unless another worker has claimed it since.
UPDATE notifications
SET ended_at = clock_timestamp(), outcome = %(outcome)s
WHERE id = %(id)s AND attempts = %(attempt)s AND ended_at IS NULL;

-- name: postpone_notification
-- Delays a notification, unless another worker has claimed it since.
UPDATE notifications
SET due_at = clock_timestamp() + make_interval(secs => %(seconds)s)
WHERE id = %(id)s AND attempts = %(attempt)s AND ended_at IS NULL;

-- name: count_pending
-- Counts pending notifications, with the age of the oldest one in seconds.
SELECT count(*), COALESCE(EXTRACT(EPOCH FROM clock_timestamp() - min(created_at)), 0)
FROM notifications
WHERE ended_at IS NULL;

-- name: delete_finished
-- Deletes some notifications that were finished longer ago.
DELETE FROM notifications
WHERE id = ANY(ARRAY(
    SELECT id
    FROM notifications
    WHERE ended_at <= now() - make_interval(secs => %(older_than_seconds)s::double precision)
    LIMIT %(limit)s
));
