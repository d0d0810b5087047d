-- Fragments that several files use.

-- fragment: run_columns
id, owner, batch_id, idempotency_key, file_name, size_bytes, sha256, blob_key, priority, labels, rule_ids,
    encoding_hint, delimiter_hint, encoding, delimiter, status, phase, progress, bytes_parsed, total_rows,
    processed_rows, rejected_rows, error_count, warning_count, optimization_count, info_count, attempt,
    uncounted_attempts, next_attempt_at, cancel_requested_at, error_code, error_params, rule_set_version,
    reference_version, created_at, started_at, finished_at, large, traceparent

-- fragment: due
(next_attempt_at IS NULL OR next_attempt_at <= clock_timestamp()) AND cancel_requested_at IS NULL
    AND attempt - uncounted_attempts < %(max_attempts)s

-- fragment: no_lease
lease_token = NULL, lease_expires_at = NULL, phase = NULL
