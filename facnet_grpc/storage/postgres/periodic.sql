-- Periodic jobs, of which each execution is done by one worker for all.

-- name: select_execution
-- Reads the last execution of a periodic job.
SELECT name, taken_at, started_at, finished_at, outcome, state FROM scheduled_work WHERE name = %(name)s;

-- name: start_execution
-- Records that a periodic job starts.
INSERT INTO scheduled_work (name, taken_at, started_at)
VALUES (%(name)s, %(taken_at)s, clock_timestamp())
ON CONFLICT (name) DO UPDATE
SET taken_at = EXCLUDED.taken_at, started_at = EXCLUDED.started_at, finished_at = NULL, outcome = NULL;

-- name: finish_execution
-- Stores the outcome of a periodic job, unless another execution has started since.
UPDATE scheduled_work
SET finished_at = clock_timestamp(), outcome = %(outcome)s
WHERE name = %(name)s AND taken_at = %(taken_at)s;

-- name: update_state
-- Stores the state that a periodic job keeps for its next execution.
UPDATE scheduled_work SET state = %(state)s WHERE name = %(name)s;
