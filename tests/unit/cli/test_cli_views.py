"""What commands print about one thing."""

from __future__ import annotations

import pytest

from facnet_cli.texts import load
from facnet_cli.views import not_evaluable
from facnet_client.values import NotEvaluable


def test_a_rule_that_lacks_columns_names_them():
    assert (
        not_evaluable(NotEvaluable("office_fee", ("place", "context")), load("en"))
        == "Rule office_fee not evaluated: place, context missing."
    )


@pytest.mark.parametrize("language", ["fr", "en"])
def test_a_rule_that_lacks_the_establishments_says_how_to_import_them(language):
    sentence = not_evaluable(NotEvaluable("gmf_supplement", ("establishments",)), load(language))

    assert "gmf_supplement" in sentence
    assert "facnet reference import establishments.csv" in sentence
