"""Every figure that a process offers to Prometheus, declared once. Label values come from closed sets.

A method that the server does not know is counted as `unknown`; nothing that a caller makes up becomes a label.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_RPC = ("grpc_service", "grpc_method", "grpc_type")
_CALL_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0, 600.0)
_WORK_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0, 600.0, 1800.0, 3600.0)

# The server's door.
GRPC_STARTED = Counter("grpc_server_started_total", "Calls that began.", _RPC)
GRPC_HANDLED = Counter("grpc_server_handled_total", "Calls that ended, by status code.", (*_RPC, "grpc_code"))
GRPC_SECONDS = Histogram("grpc_server_handling_seconds", "Seconds that calls took.", _RPC, buckets=_CALL_SECONDS)
UPLOAD_BYTES = Counter("facnet_upload_bytes_total", "Bytes of claim files received.")
UPLOADS_OPEN = Gauge("facnet_uploads_open", "Uploads that are being received.")
WATCHERS = Gauge("facnet_watchers", "Calls that follow a run.")

# The work.
RUNS = Counter("facnet_runs_total", "Attempts that ended, by the status of the run after it.", ("status",))
RUNS_ACTIVE = Gauge("facnet_runs_active", "Runs that this process works on.")
PHASE_SECONDS = Histogram("facnet_phase_seconds", "Seconds of a phase of a run.", ("phase",), buckets=_WORK_SECONDS)
QUEUE_SECONDS = Histogram("facnet_queue_wait_seconds", "Seconds from accepted to claimed.", buckets=_WORK_SECONDS)
ROWS = Counter("facnet_rows_total", "Claim lines stored.")
REJECTED_ROWS = Counter("facnet_rejected_rows_total", "Claim lines rejected, by reason code.", ("reason",))
RESULTS = Counter("facnet_results_total", "Results stored, by rule and severity.", ("rule", "severity"))
RULE_FAILURES = Counter("facnet_rule_failures_total", "Rules that raised, by rule.", ("rule",))
RETRIES = Counter("facnet_retries_total", "Attempts given back for another one, by reason code.", ("reason",))

# What holds the two together.
QUEUE_DEPTH = Gauge("facnet_queue_depth", "Runs that wait for a worker, as the reconciler last saw it.")
LEASE_LOSSES = Counter("facnet_lease_losses_total", "Attempts given up because another worker has the run.")
RECONCILED = Counter("facnet_reconciled_total", "What the reconciler set right, by kind.", ("kind",))
EVENT_PUBLISH_FAILURES = Counter("facnet_event_publish_failures_total", "Progress events that could not be published.")
ENQUEUE_FAILURES = Counter("facnet_enqueue_failures_total", "Jobs that could not be queued; the reconciler does it.")
