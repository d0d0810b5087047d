"""Which cases of `make chaos-points` each point of the code is in. Every point has to be in one of these lists."""

from __future__ import annotations

# While a file is submitted in one stream, and its run is watched.
SERVER = [
    "server.upload.opened",
    "server.upload.chunk_written",
    "server.upload.synced",
    "server.run.inserted",
    "server.upload.finished",
    "server.blob.committed",
    "server.run.committed",
    "server.job.enqueuing",
    "server.job.enqueued",
    "server.submit.answering",
    "server.watch.sending",
]
# While something is done to a run that is over.
RETRIED = ["server.retry.committed"]
DELETED = ["server.delete.erased", "server.delete.committed"]
EXPORTED = ["server.export.sending"]
# While a worker has a run.
AT_WORK = [
    "worker.claim.after",
    "worker.parse.first",
    "worker.parse.mid",
    "worker.copy.mid",
    "worker.copy.done",
    "worker.rules.between",
    "worker.results.mid",
    "worker.commit.before",
    "worker.progress.published",
    "worker.heartbeat",
]
COMMITTED = ["worker.commit.after", "worker.end.published", "worker.blob.deleted", "worker.blob.cleared"]
TRIED_ALREADY = ["worker.failure.settling", "worker.failure.settled", "reconciler.taken_back"]
NOT_TRIED = ["worker.claim.before", "worker.claim.taken", "reconciler.queued_again"]
# While workers do what is to be done for all.
NOTIFYING = ["worker.notification.sent"]
PERIODIC = ["reconciler.locked"]
RETENTION = ["retention.blob_deleted"]

ROWS = [
    *(SERVER, RETRIED, DELETED, EXPORTED),
    *(AT_WORK, COMMITTED, TRIED_ALREADY, NOT_TRIED),
    *(NOTIFYING, PERIODIC, RETENTION),
]
# Those that an upload chunk by chunk comes to as well.
CHUNKED = [
    "server.upload.chunk_written",
    "server.upload.synced",
    "server.run.inserted",
    "server.upload.finished",
    "server.blob.committed",
    "server.run.committed",
]
