"""What it costs to encrypt files at rest: writing and reading a file through the plain store and the encrypting one.

`python -m benchmarks.blob_encryption [MiB]`. Written as the server does, in flushes of 256 KiB, synced every 32 MiB,
and hashed; read as a worker does, in blocks of 1 MiB. Medians of five.
"""

from __future__ import annotations

import hashlib
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from uuid import uuid4

from facnet_grpc.storage.blobs.api import BlobStore
from facnet_grpc.storage.blobs.encrypted import EncryptedBlobStore, MemoryFileKeys
from facnet_grpc.storage.blobs.local import LocalBlobStore

TIMES = 5
FLUSH, SYNC, BLOCK, MIB = 256 << 10, 32 << 20, 1 << 20, 1 << 20


def main() -> None:
    size = (int(sys.argv[1]) if len(sys.argv) > 1 else 256) * MIB
    flushes = [os.urandom(FLUSH) for _ in range(16)]
    with tempfile.TemporaryDirectory() as folder:
        plain = LocalBlobStore(Path(folder))
        stores: dict[str, BlobStore] = {"plain": plain, "encrypted": EncryptedBlobStore(plain, MemoryFileKeys())}
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in stores}
        for _ in range(TIMES):
            for name, store in stores.items():
                found[name].append(once(store, flushes, size))
    rates = {
        name: [size / MIB / statistics.median(times) for times in zip(*all_, strict=True)]
        for name, all_ in found.items()
    }
    for name, (written, read) in rates.items():
        print(f"{name:10} written at {written:6.0f} MiB/s, read at {read:6.0f} MiB/s")
    ratios = [rates["encrypted"][i] / rates["plain"][i] for i in (0, 1)]
    print(f"encrypted ÷ plain: written {ratios[0]:.2f}, read {ratios[1]:.2f}")


def once(store: BlobStore, flushes: list[bytes], size: int) -> tuple[float, float]:
    upload_id, key = uuid4(), str(uuid4())
    started = time.perf_counter()
    digest = hashlib.sha256()
    with store.open_part(upload_id) as part:
        for number in range(size // FLUSH):
            data = flushes[number % len(flushes)]
            part.write(data)
            digest.update(data)
            if number * FLUSH % SYNC == 0:
                part.sync()
        part.seal()
    store.commit(upload_id, key)
    written = time.perf_counter()
    with store.open(key) as file:
        while file.read(BLOCK):
            pass
    read = time.perf_counter()
    store.delete(key)
    return written - started, read - written


if __name__ == "__main__":
    main()
