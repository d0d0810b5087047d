-- What is done from time to time, once for all workers.

-- name: get
-- Reads when something was done last, and how it went.
SELECT name, turn_at, started_at, finished_at, outcome, state FROM scheduled_work WHERE name = %(name)s;

-- name: all
-- Reads all of them.
SELECT name, turn_at, started_at, finished_at, outcome, state FROM scheduled_work ORDER BY name;

-- name: begin
-- Takes a turn, whatever becomes of it.
INSERT INTO scheduled_work (name, turn_at, started_at)
VALUES (%(name)s, %(turn_at)s, clock_timestamp())
ON CONFLICT (name) DO UPDATE
SET turn_at = EXCLUDED.turn_at, started_at = EXCLUDED.started_at, finished_at = NULL, outcome = NULL;

-- name: finish
-- Says how a turn went, unless another one has begun since.
UPDATE scheduled_work
SET finished_at = clock_timestamp(), outcome = %(outcome)s
WHERE name = %(name)s AND turn_at = %(turn_at)s;

-- name: remember
-- Keeps something for the next time.
UPDATE scheduled_work SET state = %(state)s WHERE name = %(name)s;
