"""How many rules of a run are evaluated at once: where that saves time, and the memory is there."""

from __future__ import annotations

# With fewer lines rules are too short: threads wait for the interpreter as long as they save.
_WORTH_IT = 100_000
# Lines of the file, once for each rule beside the first: each takes 40 to 80 bytes a line as it works.
_MOST_BESIDE = 2_500_000


def rules_at_once(lines: int, most: int) -> int:
    """Return how many rules to evaluate at once over so many lines, `most` at most."""
    return 1 if lines < _WORTH_IT else min(most, 1 + _MOST_BESIDE // lines)
