"""Settings of periodic jobs: schedules, how they are written, and how long runs and files are kept.

A schedule is a period (`30s`, `10m`, `1h`, `1d`) or five fields as crontab has them (`15 3 * * sun`), in Quebec's time.
Moments of a period are counted from 1970, so that all processes mean the same ones.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger
from pydantic import Field, field_validator

from facnet_grpc.calendar import DAY_SECONDS, QUEBEC
from facnet_grpc.settings.environment import SettingsGroup

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
INSTANT = timedelta(microseconds=1)
_PERIOD = re.compile(r"(\d{1,6})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": DAY_SECONDS}


@dataclass(frozen=True)
class Schedule:
    """When something is to be done."""

    trigger: Any  # of APScheduler: pure, it only computes

    @classmethod
    def every(cls, seconds: float) -> Self:
        """Return the schedule of a period."""
        return cls(IntervalTrigger(seconds=seconds, start_date=EPOCH, timezone=UTC))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a schedule. Raises `ValueError`."""
        period = _PERIOD.fullmatch(text.strip())
        if period and int(period[1]):
            return cls.every(int(period[1]) * _SECONDS[period[2]])
        fields = text.split()
        # Numbered days are refused, as Sunday has a number of its own in every program.
        if len(fields) == 5 and not re.search(r"\d", fields[4]):  # noqa: PLR2004 - as crontab has it
            try:
                schedule = cls(CronTrigger.from_crontab(text, timezone=QUEBEC))
                schedule.after(EPOCH)
            except (ValueError, AttributeError, OverflowError, TypeError):
                pass
            else:
                return schedule
        raise ValueError("needs a period such as 30s, 10m, 1h or 1d, or five fields of crontab with days by name")

    def after(self, moment: datetime) -> datetime:
        """Return the first moment after another. Raises `ValueError` if there is none."""
        found: datetime | None = self.trigger.get_next_fire_time(None, moment + INSTANT)
        if found is None:
            raise ValueError("no such day")
        return found

    def gap(self, moment: datetime) -> timedelta:
        """Return how far the two next moments are apart."""
        first = self.after(moment)
        return self.after(first) - first


class ScheduleSettings(SettingsGroup):
    """Periodic jobs of the workers, and how long runs and files are kept."""

    reconcile_seconds: float = Field(
        5.0, gt=0, description="Interval at which workers look for lost messages and expired leases."
    )
    retention_schedule: str = Field(
        "1m",
        description="Schedule of the retention job: an interval (30s, 10m, 1h, 1d), or the five fields of a "
        "crontab with weekdays by name (15 3 * * sun), in Quebec time.",
    )
    retention_days: int = Field(
        30, gt=0, description="Number of days after its end that a run is kept, with its lines and results."
    )
    failed_blob_seconds: int = Field(
        DAY_SECONDS,
        ge=0,
        description="How long the file of a failed run is kept, so that the run can be retried; 0: not at all.",
    )
    reference_refresh_dir: Path | None = Field(
        None,
        description="Directory with codes.csv, establishments.csv, contexts.csv, or some of them, to be imported "
        "as a new version when they change; unset: none.",
    )
    reference_refresh_schedule: str = Field(
        "10m",
        description="Schedule of the check for changed reference files, in the same format as "
        "FACNET_RETENTION_SCHEDULE.",
    )

    @field_validator("retention_schedule", "reference_refresh_schedule")
    @classmethod
    def _a_schedule(cls, value: str) -> str:
        Schedule.parse(value)
        return value

    @cached_property
    def job_schedules(self) -> dict[str, Schedule]:
        """The schedule of each periodic job, by its name."""
        return {
            "reconcile": Schedule.every(self.reconcile_seconds),
            "retention": Schedule.parse(self.retention_schedule),
            "reference": Schedule.parse(self.reference_refresh_schedule),
        }
