"""A fake server, and a client of it that does not wait for long."""

from __future__ import annotations

import pytest
from fake_server import Fake, serving

from facnet_client import FacnetClient, Retry

QUICK = Retry(connect=0.3, patience=0.6, first_delay=0.01, largest_delay=0.05)


@pytest.fixture
def fake():
    return Fake()


@pytest.fixture
def target(fake):
    with serving(fake) as target:
        yield target


@pytest.fixture
def client(target):
    with FacnetClient(target, retry=QUICK) as client:
        yield client
