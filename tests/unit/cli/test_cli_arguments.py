"""Arguments before they reach a command."""

from __future__ import annotations

import pytest

from facnet_cli.app import global_options_first
from facnet_cli.errors import Problem
from facnet_cli.options import day, labels
from facnet_cli.output import plain, to_json
from facnet_cli.texts import printable
from facnet_client.values import Severity, SeverityCounts


def test_options_that_work_everywhere_are_brought_to_the_front():
    given = ["list", "--json", "--all", "--server", "h:1", "--lang=en"]
    assert global_options_first(given) == ["--json", "--server", "h:1", "--lang=en", "list", "--all"]


def test_nothing_after_two_dashes_is_touched():
    assert global_options_first(["submit", "--", "--json"]) == ["submit", "--", "--json"]


def test_an_option_without_its_value_stays_where_it_is():
    assert global_options_first(["list", "--server"]) == ["list", "--server"]


def test_labels_are_pairs():
    assert labels(["a=1", "b=x=y", "c="]) == {"a": "1", "b": "x=y", "c": ""}
    for wrong in ("a", "=1"):
        with pytest.raises(Problem):
            labels([wrong])


def test_days_are_days():
    assert day("--from", "2025-03-01").hour == 0
    with pytest.raises(Problem):
        day("--from", "01/03/2025")


def test_json_keeps_letters_and_the_order_of_fields():
    assert to_json(SeverityCounts(1, 2, 3, 4)) == '{"error": 1, "warning": 2, "optimization": 3, "info": 4}'
    assert to_json({"é": (Severity.ERROR, None)}) == '{"é": ["error", null]}'
    assert plain([Severity.INFO]) == ["info"]


def test_file_names_cannot_steer_the_terminal():
    assert printable("a\x1b[2Jb\n.csv") == "a\N{REPLACEMENT CHARACTER}[2Jb\N{REPLACEMENT CHARACTER}.csv"


def test_unbreakable_spaces_reach_the_terminal():
    assert printable("112,40\N{NO-BREAK SPACE}$ payés\N{NARROW NO-BREAK SPACE}!") == "112,40\u00a0$ payés\u202f!"
