"""One renderer for lists, tables and facts: each is driven by a list of columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from facnet_cli.texts import Texts, printable

_Row = TypeVar("_Row")


@dataclass(frozen=True, slots=True)
class Column(Generic[_Row]):
    """A column: the key of its title, the value of a row in it, and its look.

    Control characters in values that are strings are replaced. `width` is the least width in a list; a column of a
    list that has none takes no place where it is empty. `wrap` allows a table to break its values over lines.
    """

    title: str
    value: Callable[[_Row, Texts], RenderableType]
    style: str | Callable[[_Row], str] = ""
    justify: Literal["left", "right"] = "left"
    width: int = 0
    wrap: bool = False

    def cell(self, row: _Row, texts: Texts) -> RenderableType:
        """Return the value of a row with its style."""
        value = self.value(row, texts)
        style = self.style if isinstance(self.style, str) else self.style(row)
        return Text(printable(value), style) if isinstance(value, str) else value


Columns = tuple[Column[_Row], ...]


def line(columns: Columns[_Row], row: _Row, texts: Texts) -> Text:
    """Return a row of a list, which is printed before the next row is known: columns of at least their width."""
    return _joined(columns, (column.cell(row, texts) for column in columns))


def header(columns: Columns[_Row], texts: Texts) -> Text:
    """Return the titles above a list."""
    return _joined(columns, (Text(texts(column.title), "dim") for column in columns))


def table(columns: Columns[_Row], texts: Texts, *sections: Iterable[_Row], edge: bool = False) -> Table:
    """Return a table with titles, as wide as its widest values; a line divides the sections."""
    found = Table(box=box.SIMPLE, show_edge=edge, pad_edge=False)
    for column in columns:
        found.add_column(texts(column.title), justify=column.justify, no_wrap=not column.wrap)
    for rows in sections:
        for row in rows:
            found.add_row(*(column.cell(row, texts) for column in columns))
        found.add_section()
    return found


def facts(columns: Columns[_Row], row: _Row, texts: Texts) -> Iterator[Text]:
    """Yield one line for each column of a single row that is not empty: the title and the value."""
    for column in columns:
        if value := column.value(row, texts):
            yield Text(f"  {texts('fact.line', title=texts(column.title), value=printable(str(value)))}")


def _joined(columns: Columns[_Row], cells: Iterable[RenderableType]) -> Text:
    texts = []
    for column, cell in zip(columns, cells, strict=True):
        text = cell if isinstance(cell, Text) else Text(str(cell))
        missing = max(0, column.width - text.cell_len)
        text.pad_left(missing) if column.justify == "right" else text.pad_right(missing)
        if text.plain:
            texts.append(text)
    joined = Text("  ").join(texts)
    joined.rstrip()
    return joined
