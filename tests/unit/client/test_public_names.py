"""What `from facnet_client import …` offers."""

from __future__ import annotations

import pytest

import facnet_client


def test_every_public_name_of_the_library_is_there():
    for name in facnet_client.__all__:
        assert getattr(facnet_client, name).__name__ == name
    with pytest.raises(AttributeError):
        facnet_client.nothing  # noqa: B018 - asking is the test
