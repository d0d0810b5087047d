"""Calendar facts for the whole product: Quebec's time zone, the length of a day, days counted from 1970-01-01.

Imports nothing of the product, so that every package may import it.
"""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

#: The clock of the RAMQ and of the clinics: schedules, deadlines and "today" follow it.
QUEBEC = ZoneInfo("America/Toronto")

DAY_SECONDS = 86_400

#: Day 0 of Arrow's `date32` and of numpy's `datetime64[D]`.
EPOCH = date(1970, 1, 1)


def day_in_quebec(moment: datetime) -> date:
    """Return the calendar day in Quebec at `moment`, which must have a time zone."""
    return moment.astimezone(QUEBEC).date()


def day_number(day: date) -> int:
    """Return the number of days from 1970-01-01 to `day`, as Arrow stores a `date32`."""
    return day.toordinal() - EPOCH.toordinal()
