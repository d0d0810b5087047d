-- What is done from time to time, once for all workers.

-- name: get
-- Reads when something was done last, and how it went.
SELECT name, taken_at, started_at, finished_at, outcome, state FROM scheduled_work WHERE name = %(name)s;

-- name: begin
-- Says that something is being done, whatever becomes of it.
INSERT INTO scheduled_work (name, taken_at, started_at)
VALUES (%(name)s, %(taken_at)s, clock_timestamp())
ON CONFLICT (name) DO UPDATE
SET taken_at = EXCLUDED.taken_at, started_at = EXCLUDED.started_at, finished_at = NULL, outcome = NULL;

-- name: finish
-- Says how it went, unless somebody has begun again since.
UPDATE scheduled_work
SET finished_at = clock_timestamp(), outcome = %(outcome)s
WHERE name = %(name)s AND taken_at = %(taken_at)s;

-- name: remember
-- Keeps something for the next time.
UPDATE scheduled_work SET state = %(state)s WHERE name = %(name)s;
