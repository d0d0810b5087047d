"""Changes that the release before cannot live with wait until it is gone."""

from types import SimpleNamespace

import pytest

from facnet_grpc.storage.postgres.migrate import Stage, due


def script(revision, **module):
    return SimpleNamespace(revision=revision, module=SimpleNamespace(**module))


CHANGES = [script("0002"), script("0003", stage="before"), script("0004", stage="after"), script("0005")]


@pytest.mark.parametrize(
    ("stage", "revisions"),
    [(Stage.BEFORE, ["0002", "0003"]), (Stage.AFTER, ["0002", "0003", "0004", "0005"])],
)
def test_what_comes_before_stops_in_front_of_what_comes_after(stage, revisions):
    assert [one.revision for one in due(CHANGES, stage)] == revisions


def test_nothing_is_due_when_nothing_is_missing():
    assert due([], Stage.AFTER) == []
