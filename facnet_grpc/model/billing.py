"""The canonical shape of claim lines: one Arrow schema from the parser to COPY, and the part of it that rules keep.

Domain facts: `docs/glossary.md`. Money is integer cents, a day is a plain calendar date, a time has no zone.

A line of a claim file as it is read back: the part of it that callers may see, once persons are taken out of it.
"""

from __future__ import annotations

import pyarrow as pa

TEXT = pa.string()
DICT = pa.dictionary(pa.int32(), pa.string())  # few distinct values, many lines

# One line of a claim report that has been accepted. The order is the order of the columns of `billing_records`.
BILLING_SCHEMA = pa.schema(
    [
        pa.field("record_number", pa.int32(), nullable=False),  # 1 = first data line, rejected ones counted
        pa.field("line_label", TEXT),  # column `#` as exported
        pa.field("invoice", TEXT),  # Facture
        pa.field("ramq_id", TEXT),  # ID RAMQ
        pa.field("service_date", pa.date32(), nullable=False),
        pa.field("start_time", pa.time32("s")),
        pa.field("end_time", pa.time32("s")),
        pa.field("payment_period", TEXT),  # Periode, YYYYWW
        pa.field("place", TEXT),  # digits, left-padded to 5; null is unknown
        pa.field("activity_sector", TEXT),
        pa.field("diagnosis", TEXT),
        pa.field("code", TEXT, nullable=False),  # digits, left-padded to 5
        pa.field("units", pa.int32()),
        pa.field("role", TEXT),
        pa.field("context", TEXT),  # tokens upper-cased, without '#', joined by one comma; null if none
        pa.field("preliminary_cents", pa.int64(), nullable=False),
        pa.field("paid_cents", pa.int64()),  # null if the file does not say
        pa.field("doctor_key", TEXT, nullable=False),  # the 7 digits before the '-'
        pa.field("doctor_name", TEXT),  # PHI by our rules: "Last, First"
        pa.field("doctor_info", TEXT),  # the cell as exported, trimmed
        pa.field("agency", TEXT),
        pa.field("patient_key", TEXT),  # PHI: the NAM; or masked NAM and folded name. Null: the line has no patient
        pa.field("patient_name", TEXT),  # PHI: "LAST, FIRST"
    ],
)

# What the rules keep of it in memory: text as dictionaries, for the whole file. A file may take less: units, money and
# the indices of dictionaries are as narrow as its values allow, and invoices and RAMQ ids are numbers if all are digits
# (`rules.table.arrays`).
RULE_SCHEMA = pa.schema(
    [
        pa.field("record_number", pa.int32(), nullable=False),
        pa.field("invoice", TEXT),
        pa.field("ramq_id", TEXT),
        pa.field("service_date", pa.date32(), nullable=False),
        pa.field("start_time", pa.time32("s")),
        pa.field("end_time", pa.time32("s")),
        pa.field("payment_period", DICT),
        pa.field("place", DICT),
        pa.field("code", DICT, nullable=False),
        pa.field("units", pa.int32()),
        pa.field("role", DICT),
        pa.field("context", DICT),
        pa.field("preliminary_cents", pa.int64(), nullable=False),
        pa.field("paid_cents", pa.int64()),
        pa.field("doctor_key", DICT, nullable=False),
        pa.field("doctor_name", DICT),
        pa.field("patient_key", DICT),
        pa.field("patient_name", DICT),
    ],
)

# A line that could not be accepted. `raw` is PHI: it goes to PostgreSQL and nowhere else.
REJECTED_SCHEMA = pa.schema(
    [
        pa.field("record_number", pa.int32(), nullable=False),
        pa.field("column_name", TEXT),  # canonical name from BILLING_SCHEMA; null if the whole line is at fault
        pa.field("reason", TEXT, nullable=False),  # a `RejectReason`
        pa.field("raw", TEXT),  # the line's text, at most 64 KiB
    ],
)

MAX_STORED_REJECTS = 1000

# Columns without which nothing can be checked, and columns whose absence only costs something.
NEEDED = ("service_date", "code", "preliminary_cents", "doctor_key")
WANTED = ("patient_key", "paid_cents", "place", "context", "units", "start_time", "end_time")


_NAMES = (
    "record_number", "invoice", "ramq_id", "service_date", "start_time", "end_time", "payment_period", "place",
    "activity_sector", "diagnosis", "code", "units", "role", "context", "preliminary_cents", "paid_cents", "doctor_key",
    "doctor_name", "patient_key", "agency",
)  # fmt: skip

# `doctor_*` and `patient_key` are PHI: redact them on the way out.
LINE_SCHEMA = pa.schema([BILLING_SCHEMA.field(name) for name in _NAMES])
