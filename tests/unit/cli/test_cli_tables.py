"""Rows of columns: lists, tables and facts."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.text import Text

from facnet_cli import columns
from facnet_cli.tables import Column, facts, header, line, table
from facnet_cli.texts import load

TEXTS = load("en")
COLUMNS = (
    Column("column.name", lambda row, _: row[0], lambda row: "red" if row[1] < 0 else "", width=6),
    Column("column.count", lambda row, texts: texts.number(row[1]), justify="right", width=5),
    Column("column.reason", lambda row, _: row[2], "dim"),
    Column("column.message", lambda row, _: row[3]),
)


def printed(renderable):
    out = io.StringIO()
    Console(file=out, width=60).print(renderable)
    return [row.rstrip() for row in out.getvalue().splitlines()]


def test_a_list_has_columns_of_at_least_their_width_and_empty_ones_take_no_place():
    assert line(COLUMNS, ("a", 1234, "", "x"), TEXTS).plain == "a       1,234  x"
    assert line(COLUMNS, ("longer than 6", 1, "why", ""), TEXTS).plain == "longer than 6      1  why"
    assert header(COLUMNS, TEXTS).plain == "Name    Count  Reason  Message"


def test_wide_letters_count_twice():
    assert line(COLUMNS, ("日本", 1, "", ""), TEXTS).plain == "日本        1"


def test_a_style_can_depend_on_the_row():
    assert [span.style for span in line(COLUMNS, ("a", -1, "", ""), TEXTS).spans if span.style] == ["red"]


@pytest.mark.parametrize("make", [line, lambda *arguments: next(facts(*arguments))])
def test_control_characters_are_replaced(make):
    assert "\x1b" not in make(COLUMNS, ("a\x1b[2J", 1, "\x1b", "\n"), TEXTS).plain


def test_a_table_has_titles_sections_and_its_own_widths():
    rows = [("a", 1, "b", "c")], [("d\x1b", 22, "e", Text("f"))]
    title, line_below, first, line_between, second = printed(table(COLUMNS, TEXTS, *rows))
    assert title.split() == ["Name", "Count", "Reason", "Message"]
    assert set(line_below) | set(line_between) <= set(" \N{BOX DRAWINGS LIGHT HORIZONTAL}")
    assert (first.split(), second.split()) == (
        ["a", "1", "b", "c"],
        ["d\N{REPLACEMENT CHARACTER}", "22", "e", "f"],
    )
    assert title.index("Count") + 4 == first.index("1") == second.index("22") + 1


def test_facts_leave_out_what_is_empty():
    assert [fact.plain for fact in facts(COLUMNS, ("a", 1, "", "x"), TEXTS)] == [
        "  Name: a",
        "  Count: 1",
        "  Message: x",
    ]


def test_every_title_is_in_the_catalogue():
    kinds = [kind for kind in vars(columns).values() if isinstance(kind, tuple) and isinstance(kind[0], Column)]
    assert len(kinds) > 10
    assert [column.title for kind in kinds for column in kind if TEXTS.find(column.title) is None] == []
