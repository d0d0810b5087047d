"""Delays before another try."""

import pytest

from facnet_grpc.backoff import backoff_seconds


@pytest.mark.parametrize(("attempt", "longest"), [(1, 2.0), (2, 4.0), (3, 8.0), (60, 300.0), (10_000, 300.0)])
def test_the_delay_doubles_up_to_a_limit_and_up_to_half_of_it_is_left_to_chance(attempt, longest):
    delays = [backoff_seconds(attempt, base_seconds=2.0, max_seconds=300.0) for _ in range(200)]
    assert min(delays) >= longest / 2
    assert max(delays) <= longest
    assert max(delays) - min(delays) > longest * 0.1  # workers that failed together do not come back together
