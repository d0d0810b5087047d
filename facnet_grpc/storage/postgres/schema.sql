-- The schema as the migrations leave it; a test compares the two. Columns added by a migration stand last in their table.
-- Money is in cents, sizes are in bytes, times are in UTC, days are plain calendar dates.

CREATE TABLE validation_runs (
    id uuid PRIMARY KEY,                              -- UUIDv7: sorts by time
    owner text NOT NULL,
    batch_id text,
    idempotency_key text,
    file_name text NOT NULL,                          -- a label only
    size_bytes bigint NOT NULL,
    sha256 text NOT NULL,
    blob_key text,                                    -- null once the file is deleted
    priority text NOT NULL DEFAULT 'NORMAL',
    large boolean NOT NULL DEFAULT false,             -- claimed after the small files of its owner and priority
    labels jsonb NOT NULL DEFAULT '{}',
    rule_ids text[] NOT NULL DEFAULT '{}',            -- empty: all enabled rules
    webhook_url text,                                 -- receives a notification when the run ends
    notify_by_mail boolean NOT NULL DEFAULT false,    -- to the addresses of the settings
    encoding_hint text,
    delimiter_hint text,
    traceparent text,                                 -- the parent span of its attempts
    encoding text,
    delimiter text,
    status text NOT NULL DEFAULT 'QUEUED'
        CHECK (status IN ('QUEUED', 'PROCESSING', 'COMPLETED', 'FAILED', 'CANCELLED')),
    phase text CHECK (phase IN ('LOADING', 'RULES', 'STORING_RESULTS')),
    progress double precision NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 100),
    bytes_parsed bigint NOT NULL DEFAULT 0,
    total_rows bigint NOT NULL DEFAULT 0,
    processed_rows bigint NOT NULL DEFAULT 0,
    rejected_rows bigint NOT NULL DEFAULT 0,
    error_count bigint NOT NULL DEFAULT 0,
    warning_count bigint NOT NULL DEFAULT 0,
    optimization_count bigint NOT NULL DEFAULT 0,
    info_count bigint NOT NULL DEFAULT 0,
    summary jsonb,                                    -- model/summary.py, once COMPLETED
    attempt integer NOT NULL DEFAULT 0,               -- number of claims; never decreases
    uncounted_attempts integer NOT NULL DEFAULT 0,    -- of these, released by a worker that had to stop
    lease_token uuid,
    lease_expires_at timestamptz,
    next_attempt_at timestamptz,
    cancel_requested_at timestamptz,
    error_code text,
    error_params jsonb NOT NULL DEFAULT '{}',
    error_message text,                               -- for people who read the table; no PHI
    rule_set_version text,
    reference_version text,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz,
    as_of date,                                       -- day on which deadlines are judged; null: day of creation in Quebec
    CONSTRAINT lease_while_processing CHECK ((status = 'PROCESSING') = (lease_token IS NOT NULL)),
    CONSTRAINT failed_has_code CHECK ((status = 'FAILED') = (error_code IS NOT NULL))
);

CREATE UNIQUE INDEX validation_runs_idempotency ON validation_runs (owner, idempotency_key);
CREATE INDEX validation_runs_newest ON validation_runs (owner, id DESC);
CREATE INDEX validation_runs_batch ON validation_runs (owner, batch_id) WHERE batch_id IS NOT NULL;
CREATE INDEX validation_runs_waiting ON validation_runs (owner, priority, large, created_at, id)
    WHERE status = 'QUEUED';
CREATE INDEX validation_runs_served ON validation_runs (owner, priority, large, started_at)
    WHERE started_at IS NOT NULL;
CREATE INDEX validation_runs_leases ON validation_runs (lease_expires_at) WHERE status = 'PROCESSING';
CREATE INDEX validation_runs_blobs ON validation_runs (blob_key) WHERE blob_key IS NOT NULL;
CREATE INDEX validation_runs_failed ON validation_runs (finished_at, id) WHERE status = 'FAILED';
CREATE INDEX validation_runs_ended ON validation_runs (finished_at) WHERE finished_at IS NOT NULL;

-- The outbox: one row per channel of a notification, inserted by the transaction that ends the run. Ids, counts and
-- codes only, no file name, no labels, no amounts, no PHI.
CREATE TABLE notifications (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),    -- the event's id, the same for every attempt
    run_id uuid NOT NULL REFERENCES validation_runs (id) ON DELETE CASCADE,
    channel text NOT NULL CHECK (channel IN ('webhook', 'mail')),
    owner text NOT NULL,
    status text NOT NULL,                             -- the final status of the run
    url text,                                         -- of a webhook
    data jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    attempts integer NOT NULL DEFAULT 0,              -- number of claims
    due_at timestamptz NOT NULL DEFAULT clock_timestamp(), -- the next attempt; after a claim, the end of its lease
    ended_at timestamptz,
    outcome text                                      -- delivery outcome
);

CREATE INDEX notifications_due ON notifications (due_at) WHERE ended_at IS NULL;
CREATE INDEX notifications_ended ON notifications (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX notifications_run ON notifications (run_id);

CREATE FUNCTION insert_notifications() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO notifications (run_id, channel, owner, status, url, data)
    SELECT NEW.id, way.channel, NEW.owner, NEW.status, way.url, jsonb_strip_nulls(jsonb_build_object(
        'validation_id', NEW.id,
        'job_id', 'validation-' || NEW.id,
        'status', NEW.status,
        'attempt', NEW.attempt,
        'error_code', NEW.error_code
    )) || CASE NEW.status WHEN 'COMPLETED' THEN jsonb_build_object(
        'total_rows', NEW.total_rows,
        'processed_rows', NEW.processed_rows,
        'rejected_rows', NEW.rejected_rows,
        'result_counts', jsonb_build_object(
            'error', NEW.error_count,
            'warning', NEW.warning_count,
            'optimization', NEW.optimization_count,
            'info', NEW.info_count
        )
    ) ELSE '{}' END
    FROM (VALUES
        ('webhook', NEW.webhook_url IS NOT NULL, NEW.webhook_url),
        ('mail', NEW.notify_by_mail, NULL)
    ) AS way (channel, wanted, url)
    WHERE way.wanted;
    RETURN NULL;
END
$$;

-- For every statement that ends a run.
CREATE TRIGGER validation_runs_notify AFTER UPDATE OF status ON validation_runs FOR EACH ROW
    WHEN (NEW.status IN ('COMPLETED', 'FAILED', 'CANCELLED') AND OLD.status <> NEW.status
        AND (NEW.webhook_url IS NOT NULL OR NEW.notify_by_mail))
    EXECUTE FUNCTION insert_notifications();

CREATE TABLE uploads (
    id uuid PRIMARY KEY,
    owner text NOT NULL,
    file_name text NOT NULL,
    committed_bytes bigint NOT NULL DEFAULT 0,        -- as of the last pause; the size of the part is authoritative
    run_id uuid,                                      -- the run that it became
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);

CREATE INDEX uploads_owner ON uploads (owner);
CREATE INDEX uploads_expiry ON uploads (expires_at);

-- File keys: the key of each encrypted file, by its upload, wrapped by a key of the settings. Without its row nobody
-- can read a file.
CREATE TABLE data_keys (
    upload_id uuid PRIMARY KEY,
    run_id uuid,                                      -- the run that the file belongs to
    key_id text NOT NULL,                             -- the key of the settings, by its name
    wrapped bytea NOT NULL
);

CREATE INDEX data_keys_run ON data_keys (run_id);

-- Row keys: the key of the patients' columns of each run (or revalidation), wrapped likewise.
CREATE TABLE row_keys (
    run_id uuid PRIMARY KEY,
    key_id text NOT NULL,
    wrapped bytea NOT NULL
);

-- Deleted runs whose rows are still to be swept.
CREATE TABLE erasures (
    run_id uuid PRIMARY KEY,
    taken_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Accesses to patients in clear text: subject, call, run and number of rows; nothing of what was read.
CREATE TABLE phi_access_log (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    owner text NOT NULL,
    subject text NOT NULL,
    action text NOT NULL,
    run_id uuid NOT NULL,
    row_count bigint NOT NULL,
    request_id text NOT NULL DEFAULT ''
);

CREATE INDEX phi_access_log_run ON phi_access_log (run_id, id);

-- No foreign key and no further index: each would double the duration of the load.
CREATE TABLE billing_records (
    run_id uuid NOT NULL,
    record_number integer NOT NULL,
    line_label text,
    invoice text,
    ramq_id text,
    service_date date NOT NULL,
    start_time time,
    end_time time,
    payment_period text,
    place text,
    activity_sector text,
    diagnosis text,
    code text NOT NULL,
    units integer,
    role text,
    context text,
    preliminary_cents bigint NOT NULL,
    paid_cents bigint,
    doctor_key text NOT NULL,
    doctor_name text,
    doctor_info text,
    agency text,
    patient_key bytea,
    patient_name bytea,
    PRIMARY KEY (run_id, record_number)
);

CREATE TABLE rejected_rows (
    run_id uuid NOT NULL,
    record_number integer NOT NULL,
    column_name text,
    reason text NOT NULL,
    raw bytea,
    PRIMARY KEY (run_id, record_number)
);

CREATE TABLE validation_results (
    run_id uuid NOT NULL,
    result_number integer NOT NULL,
    rule_id text NOT NULL,
    rule_version text NOT NULL,
    scenario text NOT NULL,
    severity text NOT NULL,
    category text NOT NULL,
    certainty text NOT NULL,
    record_number integer,
    affected_records integer[] NOT NULL,
    ramq_ids text[] NOT NULL,
    doctor_key text,
    doctor_name text,
    patient_key bytea,
    service_date date,
    at_risk_cents bigint NOT NULL CHECK (at_risk_cents >= 0),
    potential_gain_cents bigint NOT NULL CHECK (potential_gain_cents >= 0),
    data jsonb NOT NULL,
    PRIMARY KEY (run_id, result_number)
);

CREATE TABLE validation_logs (
    run_id uuid NOT NULL,
    log_number bigint GENERATED ALWAYS AS IDENTITY,
    logged_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    level text NOT NULL,
    source text NOT NULL,
    event text NOT NULL,
    data jsonb NOT NULL DEFAULT '{}',                 -- ids, counts, codes, column names; no PHI
    PRIMARY KEY (run_id, log_number)
);

-- Reference data of the RAMQ, by version. The rows of a version never change; the version with the highest `adoption`
-- is in force. Content that was stored before comes into force again under its old name.
CREATE TABLE reference_versions (
    version text PRIMARY KEY,
    origin text NOT NULL CHECK (origin IN ('shipped', 'imported')),
    source text NOT NULL,                             -- sources of its parts, with dates
    content_hash text NOT NULL UNIQUE,                -- of all its rows; equal content is one version
    adoption bigint NOT NULL UNIQUE,
    code_count bigint NOT NULL,                       -- distinct codes, which may have several tariffs
    establishment_count bigint NOT NULL,
    context_count bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE billing_codes (
    version text NOT NULL,
    code text NOT NULL,
    entry_number integer NOT NULL,                    -- from 1, within the code
    place text NOT NULL,
    tariff_cents bigint,
    base_units integer,
    tab text NOT NULL,
    label text NOT NULL,
    valid_from date NOT NULL,
    PRIMARY KEY (version, code, entry_number)
);

CREATE TABLE establishments (
    version text NOT NULL,
    number text NOT NULL,
    name text NOT NULL,
    type text NOT NULL,
    gmf boolean NOT NULL,
    PRIMARY KEY (version, number)
);

CREATE TABLE contexts (
    version text NOT NULL,
    token text NOT NULL,
    label text NOT NULL,
    ends_on date,
    PRIMARY KEY (version, token)
);

-- Live worker processes: each extends its own expiry. Unlogged: after a crash of PostgreSQL they register again.
CREATE UNLOGGED TABLE workers (
    id uuid PRIMARY KEY,                              -- random, per process
    release text NOT NULL,
    threads integer NOT NULL,
    run_ids uuid[] NOT NULL DEFAULT '{}',             -- runs that it validates or revalidates
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);

-- Periodic jobs, each done by one worker for all: the last execution and its outcome.
CREATE TABLE scheduled_work (
    name text PRIMARY KEY,
    taken_at timestamptz NOT NULL,                    -- by the clock of the worker that does it
    started_at timestamptz NOT NULL,
    finished_at timestamptz,                          -- null: in progress or interrupted
    outcome text CHECK (outcome IN ('done', 'failed')),
    state jsonb NOT NULL DEFAULT '{}',                -- what the job keeps for its next execution
    CONSTRAINT finished_has_outcome CHECK ((finished_at IS NULL) = (outcome IS NULL))
);

-- Revalidations: requested by the server, done by a worker, read by the server, deleted. Unlogged: after a crash of
-- PostgreSQL the caller requests it again.
CREATE UNLOGGED TABLE revalidations (
    id uuid PRIMARY KEY,
    run_id uuid NOT NULL,
    asked_at timestamptz NOT NULL DEFAULT now(),
    attempts integer NOT NULL DEFAULT 0,
    began_at timestamptz,                             -- start of the last attempt
    done_at timestamptz,
    error_code text,                                  -- set if it failed
    added bigint NOT NULL DEFAULT 0,
    gone bigint NOT NULL DEFAULT 0,
    changed bigint NOT NULL DEFAULT 0,
    unchanged bigint NOT NULL DEFAULT 0,
    rule_set_version text,                            -- used by the revalidation
    reference_version text,
    as_of date                                        -- day on which deadlines are judged; null: the day of the run
);

-- The results of revalidations.
CREATE UNLOGGED TABLE revalidated_results (
    run_id uuid NOT NULL,                             -- the id of the revalidation
    result_number integer NOT NULL,
    rule_id text NOT NULL,
    rule_version text NOT NULL,
    scenario text NOT NULL,
    severity text NOT NULL,
    category text NOT NULL,
    certainty text NOT NULL,
    record_number integer,
    affected_records integer[] NOT NULL,
    ramq_ids text[] NOT NULL,
    doctor_key text,
    doctor_name text,
    patient_key bytea,
    service_date date,
    at_risk_cents bigint NOT NULL,
    potential_gain_cents bigint NOT NULL,
    data jsonb NOT NULL,
    PRIMARY KEY (run_id, result_number)
);

CREATE UNLOGGED TABLE revalidation_changes (
    revalidation_id uuid NOT NULL,
    change_number integer NOT NULL,
    kind text NOT NULL CHECK (kind IN ('added', 'gone', 'changed')),
    before_number integer,                            -- in validation_results; null if added
    after_number integer,                             -- in revalidated_results; null if gone
    PRIMARY KEY (revalidation_id, change_number)
);

-- The audit log of runs, which outlives them: ids, counts and codes only, no file name, no PHI.
CREATE TABLE audit_log (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    owner text NOT NULL,
    action text NOT NULL,
    run_id uuid NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}'
);
