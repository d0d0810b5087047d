"""The diagram of a run's states, between two markers of the architecture page."""

from __future__ import annotations

import re

from facnet_grpc.model.run import TERMINAL, TRANSITIONS, RunStatus

BEGIN = "<!-- states: made by `make docs` from facnet_grpc/model/run.py -->"
END = "<!-- /states -->"


def diagram() -> str:
    """Return the table of states as a Mermaid diagram."""
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {RunStatus.QUEUED}"]
    lines += [
        f"    {status} --> {target}"
        for status, targets in TRANSITIONS.items()
        for target in sorted(targets, key=list(RunStatus).index)
    ]
    lines += [f"    {status} --> [*]" for status in RunStatus if status in TERMINAL]
    return "\n".join([*lines, "```"])


def insert(text: str) -> str:
    """Put the diagram into a page. Raises `ValueError` if the page has no markers for it."""
    pattern = re.compile(f"({re.escape(BEGIN)}\n).*?({re.escape(END)})", re.DOTALL)
    if not pattern.search(text):
        raise ValueError("the markers for the diagram of states are missing")
    return pattern.sub(lambda match: f"{match[1]}{diagram()}\n{match[2]}", text)
