"""What exported results and lines consist of: the names, their order, their types. The same in every format.

The command line writes its JSON Lines from values of the client, whose fields have these names in this order; a test
compares them.
"""

from __future__ import annotations

import pyarrow as pa

from facnet_grpc.model.line import LINE_SCHEMA
from facnet_grpc.model.result import RESULT_SCHEMA

RESULT = pa.schema(
    [
        *(RESULT_SCHEMA.field(name) for name in ("rule_id", "rule_version", "scenario", "severity", "category")),
        *(RESULT_SCHEMA.field(name) for name in ("certainty", "record_number", "affected_records", "ramq_ids")),
        pa.field("doctor_key", pa.string()),  # a pseudonym, unless the caller reads PHI; so are the next two
        pa.field("doctor", pa.string()),
        pa.field("patient_key", pa.string()),
        *(RESULT_SCHEMA.field(name) for name in ("service_date", "at_risk_cents", "potential_gain_cents", "data")),
        pa.field("message", pa.string(), nullable=False),
        pa.field("solution", pa.string(), nullable=False),
    ],
)

LINE = pa.schema(
    [
        *(LINE_SCHEMA.field(name) for name in LINE_SCHEMA.names[: LINE_SCHEMA.get_field_index("context")]),
        pa.field("context", pa.list_(pa.string()), nullable=False),
        LINE_SCHEMA.field("preliminary_cents"),
        LINE_SCHEMA.field("paid_cents"),
        pa.field("doctor_key", pa.string()),
        pa.field("doctor", pa.string()),
        pa.field("patient_key", pa.string()),
        LINE_SCHEMA.field("agency"),
    ],
)

# Text that is JSON already.
JSON_COLUMNS = frozenset({"data"})
