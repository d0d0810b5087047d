"""On which line of a TOML file something stands, which the parser does not tell."""

from __future__ import annotations

import re

Path = tuple[str | int, ...]

_HEADER = re.compile(r"\s*(\[\[?)\s*([\w.\-\"' ]+?)\s*\]\]?\s*(?:#.*)?")
_KEY = re.compile(r"\s*([\w\-\"'.]+)\s*=")
_QUOTES = ('"""', "'''")


class Locator:
    """Line numbers of tables and keys by their path, such as `("check", 0, "test", 1, "max")`."""

    def __init__(self, text: str) -> None:
        self._lines: dict[Path, int] = {(): 1}
        self._counts: dict[Path, int] = {}
        self._scan(text)

    def line(self, *path: str | int) -> int:
        """Return the line of a path, or of the nearest thing around it that has one."""
        while path not in self._lines:
            path = path[:-1]
        return self._lines[path]

    def _scan(self, text: str) -> None:
        table: Path = ()
        open_quote = ""
        for number, line in enumerate(text.splitlines(), 1):
            if open_quote:
                open_quote = "" if line.count(open_quote) % 2 else open_quote
                continue
            if match := _HEADER.fullmatch(line):
                table = self._table(match[2].split("."), number, is_array=match[1] == "[[")
                self._lines.setdefault(table, number)
            elif match := _KEY.match(line):
                self._keys(table, match[1].split("."), number)
            open_quote = next((quote for quote in _QUOTES if line.count(quote) % 2), "")

    def _table(self, names: list[str], number: int, *, is_array: bool) -> Path:
        path: Path = ()
        for name in (name.strip(" \"'") for name in names[:-1]):
            path = (*path, name)
            if path in self._counts:
                path = (*path, self._counts[path] - 1)
        path = (*path, names[-1].strip(" \"'"))
        if is_array:
            self._counts[path] = self._counts.get(path, 0) + 1
            self._lines.setdefault(path, number)
            return (*path, self._counts[path] - 1)
        return path

    def _keys(self, table: Path, names: list[str], number: int) -> None:
        path = table
        for name in names:
            path = (*path, name.strip("\"'"))
            self._lines.setdefault(path, number)
