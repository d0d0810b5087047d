"""The rate limit, through the real port and with a real Redis: a bucket of tokens for each owner, over all servers.

Nobody sleeps here: time passes by moving what Redis has stored back, which is when a bucket will be full.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import grpc
import pytest
import redis
from grpc_health.v1 import health_pb2, health_pb2_grpc
from serving import NOWHERE, Refusal, Server, refused

from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.server.access.limits import key

pytestmark = pytest.mark.system

BURST = 20
SECONDS_A_TOKEN = 30.0  # so long that none flows in while a test runs
LIMITS = {"calls_per_minute": 2, "calls_burst": BURST, "dev_tokens": "a=a/viewer, b=b/viewer"}
REFUSED = (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")


def call(server: Server, owner: str = "a") -> Any:
    metadata = (("authorization", f"Bearer {owner}"),)
    return server.stub.ListValidations(pb.ListValidationsRequest(), metadata=metadata, timeout=10)


def let_in(server: Server, calls: int, owner: str = "a") -> int:
    """Make calls, and return how many are answered."""
    answered = 0
    for _ in range(calls):
        try:
            call(server, owner)
        except grpc.RpcError as error:
            refusal = Refusal(error)
            assert (refusal.code, refusal.reason) == REFUSED
        else:
            answered += 1
    return answered


def wait(server: Server, owner: str = "a") -> float:
    """Be refused, and return in how many seconds to come back."""
    delay = refused(lambda: call(server, owner)).details["RetryInfo"].retry_delay
    return float(delay.seconds + delay.nanos / 1e9)


def pass_time(client: redis.Redis, seconds: float, owner: str = "a") -> None:
    bucket = key(owner)
    full_at = float(client.get(bucket))
    client.set(bucket, repr(full_at - seconds), keepttl=True)


@pytest.fixture
def server(make_server: Callable[..., Server]) -> Server:
    return make_server(**LIMITS)


def test_a_burst_is_let_through_and_then_it_is_said_when_to_come_back(
    server: Server, redis_client: redis.Redis
) -> None:
    assert let_in(server, BURST + 5) == BURST
    seconds = wait(server)
    assert 0 < seconds <= SECONDS_A_TOKEN
    # A second too early is too early; then it was true.
    pass_time(redis_client, seconds - 1)
    assert 0 < wait(server) <= 1
    pass_time(redis_client, 1)
    assert let_in(server, 3) == 1


def test_a_bucket_fills_evenly_and_not_beyond_its_rim(server: Server, redis_client: redis.Redis) -> None:
    assert let_in(server, BURST + 1) == BURST
    pass_time(redis_client, 3 * SECONDS_A_TOKEN)
    assert let_in(server, 5) == 3
    pass_time(redis_client, 1000 * SECONDS_A_TOKEN)
    assert let_in(server, BURST + 5) == BURST
    assert 0 < redis_client.ttl(key("a")) <= BURST * SECONDS_A_TOKEN, "and a full bucket is forgotten"


def test_owners_have_buckets_of_their_own_and_redis_does_not_know_their_names(
    server: Server, redis_client: redis.Redis
) -> None:
    assert let_in(server, BURST + 1, "a") == BURST
    assert let_in(server, BURST + 1, "b") == BURST
    assert set(redis_client.scan_iter("facnet:limits:*")) == {key("a").encode(), key("b").encode()}


def test_servers_share_the_buckets(make_server: Callable[..., Server]) -> None:
    one, other = make_server(**LIMITS), make_server(**LIMITS)
    answered = sum(let_in(server, 1) for _ in range(BURST) for server in (one, other))
    assert answered == BURST
    assert wait(other) <= wait(one) + 1 <= SECONDS_A_TOKEN + 1


OF_ANOTHER_PROCESS = """
import asyncio, sys
from facnet_grpc.server.access.limits import RateLimiter

async def main(url, per_minute, burst, calls):
    limiter = RateLimiter(url, per_minute, burst)
    for _ in range(calls):
        await limiter.count("a")
    await limiter.close()

asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:])))
"""


def test_processes_share_the_buckets(server: Server, redis_url: str) -> None:
    arguments = (redis_url, str(LIMITS["calls_per_minute"]), str(BURST), "8")
    subprocess.run([sys.executable, "-c", OF_ANOTHER_PROCESS, *arguments], check=True, timeout=60)
    assert let_in(server, BURST) == BURST - 8


def test_calls_that_anybody_may_make_are_not_counted(server: Server) -> None:
    let_in(server, BURST + 1)
    check = health_pb2.HealthCheckRequest()
    assert health_pb2_grpc.HealthStub(server.channel).Check(check, timeout=5).status


def test_without_redis_each_server_counts_alone_and_nobody_waits(make_server: Callable[..., Server]) -> None:
    for server in (make_server(redis=NOWHERE, **LIMITS), make_server(redis=NOWHERE, **LIMITS)):
        assert let_in(server, BURST + 2) == BURST
        assert 0 < wait(server) <= SECONDS_A_TOKEN


def test_what_is_not_limited_is_not_counted(make_server: Callable[..., Server], redis_client: redis.Redis) -> None:
    server = make_server(**(LIMITS | {"calls_per_minute": 0, "calls_burst": 1}))
    assert let_in(server, 5) == 5
    assert not list(redis_client.scan_iter("facnet:limits:*"))
