"""What was measured, beside what is to be reached."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One measured figure. `at_most` or `at_least` is what it has to reach; neither for one that only informs."""

    name: str
    value: float
    unit: str = ""
    at_most: float | None = None
    at_least: float | None = None

    @property
    def verdict(self) -> str:
        """Whether it is reached."""
        if self.at_most is None and self.at_least is None:
            return ""
        is_low = self.at_most is None or self.value <= self.at_most
        is_high = self.at_least is None or self.value >= self.at_least
        return "reached" if is_low and is_high else "NOT REACHED"

    @property
    def reach(self) -> str:
        """What it has to reach, in words."""
        bounds = (("≤", self.at_most), ("≥", self.at_least))
        return " ".join(f"{sign} {bound:g}" for sign, bound in bounds if bound is not None)


def rows(figures: list[Figure]) -> list[str]:
    """Return a Markdown table."""
    head = ["| figure | measured | reach | |", "| --- | ---: | --- | --- |"]
    return head + [f"| {f.name} | {f.value:,.4g} {f.unit} | {f.reach} | {f.verdict} |" for f in figures]
