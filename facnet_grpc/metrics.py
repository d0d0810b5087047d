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

# The queue as dramatiq sees it.
_QUEUE_ACTOR = ("queue_name", "actor_name")
MESSAGES = Counter("dramatiq_messages_total", "Messages worked on, by queue and actor.", _QUEUE_ACTOR)
MESSAGE_ERRORS = Counter("dramatiq_message_errors_total", "Messages whose actor raised.", _QUEUE_ACTOR)
MESSAGES_REJECTED = Counter("dramatiq_message_rejects_total", "Messages given up.", ("queue_name",))
MESSAGES_IN_PROGRESS = Gauge("dramatiq_messages_inprogress", "Messages that are being worked on.", _QUEUE_ACTOR)

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
QUEUE_DEPTH = Gauge("facnet_queue_depth", "Runs that wait for a worker.")
QUEUE_AGE = Gauge("facnet_queue_age_seconds", "How long the run has waited that has waited longest for a worker.")
QUEUE_HELD = Gauge("facnet_queue_held", "Runs that wait for another one to end, as more would be over a limit.")
RECONCILER_SEEN = Gauge("facnet_reconciler_timestamp_seconds", "When this process last reconciled, as Unix time.")
LEASE_LOSSES = Counter("facnet_lease_losses_total", "Attempts given up because another worker has the run.")
_PERIODIC_JOBS = Counter("facnet_periodic_jobs_total", "Periodic jobs that ran.", ("periodic_job", "outcome"))
_PERIODIC_JOB_FAILING = Gauge(
    "facnet_periodic_job_failing", "1: the job failed when it ran last, on whichever worker.", ("periodic_job",)
)
# Former names of the two, for one release.
_CHORES = Counter("facnet_chores_total", "Former name of facnet_periodic_jobs_total.", ("chore", "outcome"))
_CHORE_FAILING = Gauge("facnet_chore_failing", "Former name of facnet_periodic_job_failing.", ("chore",))
RECONCILED = Counter("facnet_reconciled_total", "What the reconciler set right, by kind.", ("kind",))
EVENT_PUBLISH_FAILURES = Counter("facnet_event_publish_failures_total", "Progress events that could not be published.")
EVENTS_UNREADABLE = Counter("facnet_events_unreadable_total", "Progress events that this release could not decode.")
NOTIFICATIONS = Counter(
    "facnet_notifications_total", "Attempts to say that a run has ended, by way and outcome.", ("channel", "outcome")
)
NOTIFICATIONS_PENDING = Gauge("facnet_notifications_pending", "Notifications that have not got through yet.")
NOTIFICATIONS_AGE = Gauge("facnet_notifications_age_seconds", "How long the oldest of them has been owed.")
ENQUEUE_FAILURES = Counter("facnet_enqueue_failures_total", "Jobs that could not be queued; the reconciler does it.")


def count_periodic_job(name: str, outcome: str) -> None:
    """Count a run of a periodic job."""
    for counter in (_PERIODIC_JOBS, _CHORES):
        counter.labels(name, outcome).inc()


def set_periodic_job_failing(name: str, *, failing: bool) -> None:
    """Set whether a periodic job failed when it ran last."""
    for gauge in (_PERIODIC_JOB_FAILING, _CHORE_FAILING):
        gauge.labels(name).set(failing)


MAX_RULES = 300  # rules of the user's own included
OTHER = "other"
_RULES_SEEN: set[str] = set()


def rule_label(rule_id: str) -> str:
    """Return the label of a rule: its id, or `other` once there are more rules than a label may have values.

    Rule packs of the user's own come and go while a process runs, and their ids with them.
    """
    return label(rule_id, _RULES_SEEN, MAX_RULES)


def label(value: str, seen: set[str], most: int) -> str:
    """Return `value` if it is one of the first `most` of its kind, else `other`."""
    if value not in seen and len(seen) >= most:
        return OTHER
    seen.add(value)
    return value
