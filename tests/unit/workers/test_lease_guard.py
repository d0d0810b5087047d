"""What ends an attempt from outside."""

from __future__ import annotations

import pytest
from dramatiq.middleware import Shutdown

from facnet_grpc.errors import LeaseLost, RunCancelled
from workers.validation.lease_guard import GracefulShutdown, LeaseGuard


def test_nothing_known_nothing_raised():
    LeaseGuard(GracefulShutdown()).check()


def test_a_cancel_stops_the_work():
    guard = LeaseGuard(GracefulShutdown())
    guard.cancel()
    with pytest.raises(RunCancelled):
        guard.check()


def test_a_lost_lease_outweighs_a_cancel_in_either_order():
    for steps in (("cancel", "lose_lease"), ("lose_lease", "cancel")):
        guard = LeaseGuard(GracefulShutdown())
        for step in steps:
            getattr(guard, step)()
        with pytest.raises(LeaseLost):
            guard.check()


def test_shutdown_leaves_work_its_grace():
    now = [1000.0]
    shutdown = GracefulShutdown(lambda: now[0])
    guard = LeaseGuard(shutdown)
    assert not shutdown.requested
    shutdown.request(20.0)
    assert shutdown.requested
    now[0] += 19.0
    guard.check()
    now[0] += 1.0
    with pytest.raises(Shutdown):
        guard.check()
