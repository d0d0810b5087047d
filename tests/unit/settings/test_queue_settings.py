"""How many runs an owner may have."""

import pytest
from pydantic import ValidationError

from facnet_grpc.settings.queue import QueueSettings


def test_everybody_may_have_the_same_unless_somebody_says_otherwise():
    settings = QueueSettings(
        max_active_runs=2, max_unfinished_runs=100, owner_limits="a=5/500, b=1, c=/7,d = 3/4,clinic=x=0/9"
    )
    owners = ("a", "b", "c", "clinic=x", "else")
    assert [settings.most_active(owner) for owner in owners] == [5, 1, 2, 0, 2]
    assert [settings.most_unfinished(owner) for owner in owners] == [500, 100, 7, 9, 100]
    assert settings.most_active("d") == 3


@pytest.mark.parametrize("text", ["a", "=1/2", "a=x", "a=1/2/3", "a=-1", "a=1.5", "a=½", "a=1/0"])
def test_what_is_no_limit_is_refused_with_a_sentence(text):
    with pytest.raises(ValidationError, match="owner=active/unfinished"):
        QueueSettings(owner_limits=text)
