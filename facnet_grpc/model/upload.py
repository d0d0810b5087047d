"""An upload: bytes on their way to becoming a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from facnet_grpc.model.run import Priority


@dataclass(frozen=True, slots=True)
class UploadHeader:
    """What a client says of a file before sending it."""

    file_name: str
    size_bytes: int | None = None
    sha256: str | None = None  # 64 lower-case hexadecimal digits
    idempotency_key: str | None = None
    upload_id: UUID | None = None
    batch_id: str | None = None
    priority: Priority = Priority.NORMAL
    labels: Mapping[str, str] = field(default_factory=dict)
    rule_ids: tuple[str, ...] = ()
    encoding_hint: str | None = None
    delimiter_hint: str | None = None
    webhook_url: str | None = field(default=None, repr=False)  # may hold a secret


@dataclass(frozen=True, slots=True)
class Upload:
    """A row of `uploads`: an upload that is not finished yet, or has just become a run."""

    id: UUID
    owner: str
    file_name: str
    committed_bytes: int
    expires_at: datetime
    run_id: UUID | None = None
