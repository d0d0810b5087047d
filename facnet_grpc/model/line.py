"""A line of a claim file as it is read back: the part of it that callers may see, once persons are taken out of it."""

from __future__ import annotations

import pyarrow as pa

from facnet_grpc.model.billing import BILLING_SCHEMA

_NAMES = (
    "record_number", "invoice", "ramq_id", "service_date", "start_time", "end_time", "payment_period", "place",
    "activity_sector", "diagnosis", "code", "units", "role", "context", "preliminary_cents", "paid_cents", "doctor_key",
    "doctor_name", "patient_key", "agency",
)  # fmt: skip

# `doctor_*` and `patient_key` are PHI: redact them on the way out.
LINE_SCHEMA = pa.schema([BILLING_SCHEMA.field(name) for name in _NAMES])
