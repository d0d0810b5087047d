"""How long a call takes for a run that is somebody else's, and for one that does not exist: can they be told apart?

`python -m benchmarks.not_yours [calls]`. Both kinds take turns at random. What counts is the last line: how often a
call for somebody else's takes longer than one for nobody's; 50 % is what tossing a coin says.
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from uuid_utils import uuid7

from facnet_grpc.devstack.embedded import start_postgres, start_valkey
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.gen.facnet.v1.validation_service_pb2_grpc import ValidationServiceStub
from facnet_grpc.storage.postgres.migrate import migrate

RUNS = 500
WARM_UP = 200
VICTIM, THIEF = ((("authorization", f"Bearer {name}"),) for name in ("victim", "thief"))
KINDS = ("somebody else's", "nobody's")
PERCENTILES = (10, 50, 90, 99)


def main() -> None:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with (
        tempfile.TemporaryDirectory() as folder,
        server(Path(folder)) as target,
        grpc.insecure_channel(target) as channel,
    ):
        stub = ValidationServiceStub(channel)
        stolen = [submit(stub, number) for number in range(RUNS)]
        times = measure(stub, stolen, calls)
    for kind in KINDS:
        cuts = statistics.quantiles(times[kind], n=100)
        figures = "  ".join(f"p{percent} {cuts[percent - 1]:.3f}" for percent in PERCENTILES)
        print(f"{kind:16} {len(times[kind])} calls, milliseconds: {figures}")
    print(f"{KINDS[0]} takes longer in {share_longer(*(times[kind] for kind in KINDS)):.1%} of all pairs")


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """A server with two owners, on its own databases."""
    with start_postgres(durable=False) as database_url, start_valkey() as redis_url:
        migrate(database_url)
        secret = "x" * 32
        environment = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "FACNET_BLOB_DIR": str(folder),
            "FACNET_PSEUDONYM_KEY": secret,
            "FACNET_BLOB_KEY": secret,
            "FACNET_DEV_TOKENS": "victim=victim/editor,thief=thief/editor",
            "FACNET_LISTEN": "127.0.0.1:50951",
            "FACNET_METRICS_LISTEN": "",
            "FACNET_CALLS_PER_MINUTE": "0",
            "FACNET_LOG_LEVEL": "error",
        }
        with subprocess.Popen(
            [sys.executable, "-m", "facnet_grpc", "serve"], env={**os.environ, **environment}
        ) as child:
            try:
                yield environment["FACNET_LISTEN"]
            finally:
                child.terminate()


def submit(stub: Any, number: int) -> str:
    """Hand in a file as the victim."""
    header = pb.UploadHeader(file_name=f"{number}.csv")
    chunk = pb.UploadChunk(data=f"a,b\n{number},2\n".encode())
    requests = (pb.SubmitValidationRequest(header=header), pb.SubmitValidationRequest(chunk=chunk))
    answer = stub.SubmitValidation(iter(requests), metadata=VICTIM, wait_for_ready=True, timeout=30)
    return answer.validation_id


def measure(stub: Any, stolen: list[str], calls: int) -> dict[str, list[float]]:
    """Return the milliseconds of each call, by kind."""
    times: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for number in range(-WARM_UP, calls):
        kind = random.choice(KINDS)
        run_id = random.choice(stolen) if kind == KINDS[0] else str(uuid7())
        request = pb.GetValidationRequest(validation_id=run_id)
        began = time.perf_counter()
        error = stub.GetValidation.future(request, metadata=THIEF, timeout=10).exception()
        took = (time.perf_counter() - began) * 1000
        assert error.code() is grpc.StatusCode.NOT_FOUND
        if number >= 0:
            times[kind].append(took)
    return times


def share_longer(some: list[float], others: list[float]) -> float:
    """Return how many of all pairs have the longer time on the side of `some`."""
    ranked = sorted([(value, 1) for value in some] + [(value, 0) for value in others])
    ranks = sum(rank for rank, (_, mine) in enumerate(ranked, 1) if mine)
    return (ranks - len(some) * (len(some) + 1) / 2) / (len(some) * len(others))


if __name__ == "__main__":
    main()
