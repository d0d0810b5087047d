"""Settings of the queue: scheduling order, quotas of owners, leases and attempts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

from pydantic import Field, field_validator

from facnet_grpc.settings.environment import MIB, SettingsGroup


@dataclass(frozen=True, slots=True)
class Quota:
    """What one owner may have, where it differs from everybody's; None: as everybody."""

    active: int | None
    unfinished: int | None


class QueueSettings(SettingsGroup):
    """Scheduling order, quotas, leases and attempts; the server estimates the position of a run with them."""

    max_unfinished_runs: int = Field(
        10_000, gt=0, description="Maximum number of runs per owner that are waiting or in progress."
    )
    max_active_runs: int = Field(0, ge=0, description="Maximum number of runs per owner in progress; 0: unlimited.")
    owner_limits: str = Field(
        "",
        description="Limits for single owners, as owner=active/unfinished, separated by commas: maximum number "
        "of runs in progress, and of runs waiting or in progress; either may be omitted.",
    )
    ageing_seconds: float = Field(
        600.0,
        ge=0,
        description="Time after which an owner's queue of one priority that has not been served is treated as "
        "HIGH until it has been served once; 0: never.",
    )
    large_file_bytes: int = Field(
        64 * MIB,
        gt=0,
        description="Size in bytes from which a file is large: it is scheduled after the owner's smaller ones.",
    )
    small_file_seconds: float = Field(
        300.0,
        ge=0,
        description="How long after the end of the last small file one slot stays reserved for small files; 0: "
        "never reserved.",
    )

    lease_seconds: float = Field(
        30.0, gt=0, description="Duration of a lease: a worker without heartbeats for this long loses its run."
    )
    max_attempts: int = Field(3, gt=0, description="Maximum number of attempts per run.")
    retry_base_seconds: float = Field(
        2.0, gt=0, description="Delay before the second attempt; doubled for each further one, with jitter."
    )

    @field_validator("owner_limits")
    @classmethod
    def _readable(cls, value: str) -> str:
        _quotas(value)
        return value

    @cached_property
    def owner_quotas(self) -> Mapping[str, Quota]:
        """The limits of `owner_limits`, by owner."""
        return MappingProxyType(_quotas(self.owner_limits))

    @cached_property
    def lease_beat_seconds(self) -> float:
        """Seconds between two heartbeats of a lease: three chances before it runs out."""
        return min(1.0, self.lease_seconds / 3)

    def most_active(self, owner: str) -> int:
        """Return how many runs of an owner are worked on at once; 0: any number."""
        quota = self.owner_quotas.get(owner)
        return self.max_active_runs if quota is None or quota.active is None else quota.active

    def most_unfinished(self, owner: str) -> int:
        """Return how many runs of an owner may wait or be worked on."""
        quota = self.owner_quotas.get(owner)
        return self.max_unfinished_runs if quota is None or quota.unfinished is None else quota.unfinished


def _quotas(text: str) -> dict[str, Quota]:
    return dict(_quota(part.strip()) for part in text.split(",") if part.strip())


def _quota(text: str) -> tuple[str, Quota]:
    owner, _, limits = text.rpartition("=")
    active, _, unfinished = limits.strip().partition("/")
    if not owner.strip() or not all(part.isascii() and (part.isdigit() or not part) for part in (active, unfinished)):
        raise ValueError("needs the form owner=active/unfinished, with whole numbers")
    if unfinished and not int(unfinished):
        raise ValueError("needs the form owner=active/unfinished, where unfinished is at least 1")
    return owner.strip(), Quota(int(active) if active else None, int(unfinished) if unfinished else None)
