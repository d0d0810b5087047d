"""What ends an attempt from outside."""

from __future__ import annotations

import pytest
from dramatiq.middleware import Shutdown

from facnet_grpc.errors import LeaseLost, RunCancelled
from workers.validation.lease_guard import LeaseGuard, Stopping


def test_nothing_known_nothing_raised():
    LeaseGuard(Stopping()).check()


def test_a_cancel_stops_the_work():
    control = LeaseGuard(Stopping())
    control.cancel()
    with pytest.raises(RunCancelled):
        control.check()


def test_a_lost_lease_outweighs_a_cancel_in_either_order():
    for steps in (("cancel", "lose_lease"), ("lose_lease", "cancel")):
        control = LeaseGuard(Stopping())
        for step in steps:
            getattr(control, step)()
        with pytest.raises(LeaseLost):
            control.check()


def test_shutdown_leaves_work_its_grace():
    stopping = Stopping()
    control = LeaseGuard(stopping)
    stopping.request(3600.0)
    assert stopping.requested
    control.check()
    stopping.request(0.0)
    with pytest.raises(Shutdown):
        control.check()
