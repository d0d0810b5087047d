"""What it costs to encrypt patients on their way into PostgreSQL: COPY of the same lines in clear and encrypted.

The product cannot write patients in clear text, so the first choice replaces its cipher.

`python -m benchmarks.column_encryption [lines]`; the times are medians of three, each into an emptied table.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from uuid import uuid4

import pyarrow as pa

from facnet_grpc.devstack.embedded import start_postgres
from facnet_grpc.ingest.reader import open_claims
from facnet_grpc.sample.writer import write_sample
from facnet_grpc.settings.keys import Keys
from facnet_grpc.storage.blobs.key_wrapping import KeyWrapper
from facnet_grpc.storage.postgres import column_encryption
from facnet_grpc.storage.postgres.column_encryption import RowCipher
from facnet_grpc.storage.postgres.database import PatientConnection
from facnet_grpc.storage.postgres.migrate import migrate
from facnet_grpc.storage.postgres.records import RecordWriter

TIMES = 3
KEYS = KeyWrapper.for_rows(Keys.parse("a:" + "x" * 32))


class NoCipher(RowCipher):
    """Stores text as it is."""

    def encrypt(self, texts: pa.Array, column: int, rows: pa.Array) -> pa.Array:  # noqa: ARG002 - needs no key stream
        """Return the text as bytes."""
        return texts.cast(pa.binary())


CHOICES = {"clear": NoCipher, "patients": RowCipher}


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    batches = read(count)
    print(f"{count} lines, {len(batches)} batches")
    with start_postgres(durable=True) as url:
        migrate(url)
        times = {name: [] for name in CHOICES}
        for _ in range(TIMES):
            for name, cipher in CHOICES.items():
                times[name].append(load(url, batches, cipher))
        clear = statistics.median(seconds for seconds, _, _ in times["clear"])
        for name, found in times.items():
            seconds, worked = (statistics.median(one[at] for one in found) for at in (0, 1))
            size = found[0][2] / count
            print(f"{name:10} {seconds:6.2f} s, {worked:5.2f} s work  {seconds / clear:4.2f} x  {size:5.0f} B a line")


def read(count: int) -> list[pa.RecordBatch]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "claims.csv"
        write_sample(count, path, seed=1)
        with open_claims(lambda: path.open("rb"), path.stat().st_size) as file:
            return [batch.lines for batch in file.batches()]


def load(url: str, batches: list[pa.RecordBatch], cipher: type[RowCipher]) -> tuple[float, float, int]:
    column_encryption.RowCipher = cipher
    with PatientConnection.connect(url) as conn:
        conn.key_wrapper = KEYS
        conn.execute("TRUNCATE billing_records")
        conn.commit()
        started, worked = time.perf_counter(), time.process_time()
        with RecordWriter(conn, uuid4()) as writer:
            for batch in batches:
                writer.write(batch)
        conn.commit()
        taken, worked = time.perf_counter() - started, time.process_time() - worked
        (size,) = conn.execute("SELECT pg_table_size('billing_records')").fetchone()
    return taken, worked, size


if __name__ == "__main__":
    main()
