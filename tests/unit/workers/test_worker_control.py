"""What ends an attempt from outside."""

from __future__ import annotations

import pytest
from dramatiq.middleware import Shutdown

from facnet_grpc.errors import LeaseLost, RunCancelled
from workers.pipeline.control import Control, Stopping


def test_nothing_known_nothing_raised():
    Control(Stopping()).check()


def test_a_cancel_stops_the_work():
    control = Control(Stopping())
    control.cancel()
    with pytest.raises(RunCancelled):
        control.check()


def test_a_lost_lease_outweighs_a_cancel_in_either_order():
    for steps in (("cancel", "lose_lease"), ("lose_lease", "cancel")):
        control = Control(Stopping())
        for step in steps:
            getattr(control, step)()
        with pytest.raises(LeaseLost):
            control.check()


def test_shutdown_leaves_work_its_grace():
    stopping = Stopping()
    control = Control(stopping)
    stopping.request(3600.0)
    assert stopping.requested
    control.check()
    stopping.request(0.0)
    with pytest.raises(Shutdown):
        control.check()
