"""The diagram of a run's states, in the architecture page."""

from __future__ import annotations

from docs_markdown import insert as insert_block

from facnet_grpc.model.run import TERMINAL, TRANSITIONS, RunStatus


def diagram() -> str:
    """Return the transition table as a Mermaid diagram."""
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
    return insert_block(text, "states", diagram())
