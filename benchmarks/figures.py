"""What was measured, beside what is to be reached."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version


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


def shown(figures: list[Figure]) -> list[Figure]:
    """Print a table of figures, and return them."""
    print("\n" + "\n".join(rows(figures)), flush=True)
    return figures


def tell_missed(figures: list[Figure]) -> None:
    """Print which figures have not reached what they have to."""
    missed = [figure for figure in figures if figure.verdict.isupper()]
    print(f"\n{len(missed)} not reached" + "".join(f"\n  {figure.name}" for figure in missed))


def machine() -> str:
    """Return what the figures were taken on, and how busy it was."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    names = ("pyarrow", "numpy", "psycopg", "pgpq", "grpcio")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    load = os.getloadavg()[0]
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores, {memory:.0f} GB, load before {load:.1f}; "
        f"Python {platform.python_version()}, {versions}"
    )
