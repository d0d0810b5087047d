"""Write the generated pages and blocks of `docs/`, or check that they are up to date (`--check`).

Each has one source: the protos, the settings, the error texts, the rules, the command line, the transition table of
runs, the import contracts. If a source cannot be read, its page stays unchanged; with `--check` that is a failure.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

# Path of a page, and a function from its current text (empty if there is none) to its new text. Generators are imported
# when they are needed, so that one that cannot be imported fails like one that raises.
PAGES: Mapping[str, Callable[[str], str]] = {
    "docs/reference/api.md": lambda _: _maker("docs_api").page(ROOT),
    "docs/reference/cli.md": lambda _: _maker("docs_cli").page(),
    "docs/reference/settings.md": lambda _: _maker("docs_settings").page(),
    "docs/reference/errors.md": lambda _: _maker("docs_errors").page(ROOT),
    "docs/reference/rules.md": lambda _: _maker("docs_rules").page("en"),
    "docs/reference/regles.md": lambda _: _maker("docs_rules").page("fr"),
    "docs/architecture.md": lambda text: _maker("docs_layers").insert(_maker("docs_states").insert(text), ROOT),
}


def _maker(name: str) -> Any:
    return import_module(name)


def refresh(
    root: Path,
    pages: Mapping[str, Callable[[str], str]],
    *,
    check: bool,
) -> tuple[list[str], dict[str, str]]:
    """Generate every page and write those that changed, unless `check`.

    Returns the paths of pages that were out of date, and an error message by path for those that cannot be generated.
    """
    stale: list[str] = []
    failed: dict[str, str] = {}
    for name, make in pages.items():
        path = root / name
        present = path.read_text() if path.exists() else ""
        try:
            text = make(present).rstrip() + "\n"
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one page, the others can be made
            failed[name] = f"{type(error).__name__}: {error}"
            continue
        if text == present:
            continue
        stale.append(name)
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return stale, failed


def main(arguments: list[str] | None = None) -> int:
    """Write the pages, or with `--check` report stale ones. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if a page is stale")
    check = parser.parse_args(arguments).check
    stale, failed = refresh(ROOT, PAGES, check=check)
    for name in stale:
        print(f"stale: {name} (run `make docs`)" if check else f"written: {name}")
    for name, reason in failed.items():
        print(f"not made: {name} ({reason})", file=sys.stderr)
    return 1 if check and (stale or failed) else 0


if __name__ == "__main__":
    raise SystemExit(main())
