"""Which package may import which, in the architecture page: the layers that import-linter enforces."""

from __future__ import annotations

import textwrap
import tomllib
from pathlib import Path

from docs_markdown import insert as insert_block

WIDTH = 120
KEPT = "\N{NO-BREAK SPACE}"  # where no line may end: within a layer, and after its arrow


def diagram(root: Path) -> str:
    """Return the layers of each package in `pyproject.toml`, importers first."""
    config = tomllib.loads((root / "pyproject.toml").read_text())
    contracts = [contract for contract in config["tool"]["importlinter"]["contracts"] if contract["type"] == "layers"]
    names = [container for contract in contracts for container in contract["containers"]]
    indent = max(map(len, names)) + 2
    lines = ["```text"]
    for contract in contracts:
        for name in contract["containers"]:
            layers = (layer.replace(" ", KEPT) for layer in contract["layers"])
            lines += textwrap.wrap(
                f" →{KEPT}".join(layers),
                width=WIDTH,
                initial_indent=name.ljust(indent),
                subsequent_indent=" " * indent,
                break_on_hyphens=False,
            )
    return "\n".join([*lines, "```"]).replace(KEPT, " ")


def insert(text: str, root: Path) -> str:
    """Put the layers into a page. Raises `ValueError` if the page has no markers for them."""
    return insert_block(text, "layers", diagram(root))
