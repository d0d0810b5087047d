"""How many rules are evaluated at once."""

import pytest

from workers.validation.resources import rule_concurrency


@pytest.mark.parametrize(
    ("lines", "most", "at_once"),
    [
        (0, 4, 1),
        (99_999, 4, 1),
        (100_000, 4, 4),
        (100_000, 1, 1),
        (1_000_000, 2, 2),
        (1_000_000, 8, 3),
        (2_500_000, 8, 2),
        (2_500_001, 8, 1),
        (10_000_000, 8, 1),
    ],
)
def test_several_where_it_saves_time_and_as_many_as_there_is_memory_for(lines, most, at_once):
    assert rule_concurrency(lines, most) == at_once
