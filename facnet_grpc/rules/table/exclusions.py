"""Lines that no rule counts: cancelled by a reversal, or refused and corrected since. Found once per run, over columns.

A negative line is a reversal: it cancels one line of the same doctor, patient, code, day of service and opposite
amount, the nearest before it that is not cancelled yet, or else the nearest after it. Of lines with the same invoice,
doctor, patient, code and day of service, the unpaid ones of an earlier payment period than the latest are superseded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from facnet_grpc.rules.table.arrays import Ints, Mask, number, values_of
from facnet_grpc.rules.table.claims import EXCLUDED, Claims

_LINES_AT_ONCE = 1 << 18


@dataclass(frozen=True, slots=True)
class Exclusions:
    """Rows (int64) of a table that no rule counts, in addition to the lines at zero or below."""

    reversed: Ints
    superseded: Ints
    without_partner: int  # lines at zero or below that cancel nothing

    def mark(self, lines: pa.Table) -> pa.Table:
        """Return `lines` with a column of booleans that is true for these rows; `Claims.billed` reads it."""
        excluded = np.zeros(lines.num_rows, np.bool_)
        excluded[self.reversed] = excluded[self.superseded] = True
        return lines.append_column(EXCLUDED, pa.array(excluded))


def mark_excluded(lines: pa.Table) -> pa.Table:
    """Return a table of `RULE_SCHEMA` with the column that `Exclusions.mark` adds."""
    return find_exclusions(Claims(lines)).mark(lines)


def find_exclusions(claims: Claims) -> Exclusions:
    """Return the excluded lines of a file."""
    cancelled = _reversed(claims)
    counted = claims.billed.copy()
    not_billed = len(counted) - int(counted.sum())
    counted[cancelled] = False
    return Exclusions(cancelled, _superseded(claims, counted), not_billed - len(cancelled))


def _reversed(claims: Claims) -> Ints:
    cents, _ = values_of(claims.column("preliminary_cents"))
    negative = np.flatnonzero(cents < 0)
    if not len(negative):
        return negative
    candidates = claims.billed & _on_days_of(claims, negative)
    rows = np.concatenate([negative, np.flatnonzero(candidates)])
    keys = _keys(claims, rows)
    amounts, _ = number(np.abs(claims.cents[rows]))
    keys, _ = number(keys * np.int64(len(rows)) + amounts)
    order = np.lexsort([claims.record[rows], keys])
    rows, keys = rows[order], keys[order]
    # Within a group, a walk that steps up at a line and down at a reversal. A line that steps up to zero or below is
    # the nearest after a reversal without an earlier one; any other is cancelled where the walk falls below it again.
    is_line = claims.cents[rows] > 0
    walk = np.cumsum(np.where(is_line, 1, -1))
    first = np.flatnonzero(np.diff(keys, prepend=-1))
    sizes = np.diff(np.append(first, len(keys)))
    walk -= np.repeat(np.append(0, walk)[first], sizes)
    apart = np.repeat(np.arange(len(first)), sizes) * (2 * len(rows) + 1)
    lowest_after = np.minimum.accumulate((walk + apart)[::-1])[::-1] - apart
    return rows[is_line & ((walk <= 0) | (lowest_after < walk))]


def _superseded(claims: Claims, counted: Mask) -> Ints:
    if claims.is_empty("payment_period") or claims.is_empty("invoice"):
        return np.zeros(0, np.int64)
    counted &= claims.indices("payment_period") >= 0
    counted &= np.asarray(claims.column("invoice").is_valid())
    counted &= _on_days_of(claims, np.flatnonzero(counted & ~claims.paid))
    day, days = claims.doctor_day
    # Some days at a time: all of them at once would take several times what the file does.
    step = -(-days // (len(claims) // _LINES_AT_ONCE + 1)) or 1
    parts = [
        _superseded_among(claims, np.flatnonzero(counted & (day >= first) & (day < first + step)))
        for first in range(0, days, step)
    ]
    return np.concatenate([np.zeros(0, np.int64), *parts])


def _superseded_among(claims: Claims, rows: Ints) -> Ints:
    """Return the superseded ones of `rows`, which are all lines of their days that could be."""
    keys, _ = number(_keys(claims, rows))
    invoices = claims.column("invoice").take(pa.array(rows)).dictionary_encode()
    blank = pc.equal(invoices.dictionary.cast(pa.string()), "")
    kept = ~np.asarray(blank.take(invoices.indices))
    keys, count = number(keys * np.int64(len(invoices.dictionary) or 1) + np.asarray(invoices.indices))
    period = _ranks(claims.dictionary("payment_period"))[claims.indices("payment_period")[rows]]
    latest = np.full(count, -1, np.int64)
    np.maximum.at(latest, keys[kept], period[kept])
    return rows[kept & (period < latest[keys]) & ~claims.paid[rows]]


def _ranks(texts: pa.Array) -> Ints:
    """Return the position of each text in their order."""
    ranks: Ints = np.argsort(np.asarray(pc.array_sort_indices(texts)))
    return ranks


def _on_days_of(claims: Claims, rows: Ints) -> Mask:
    """Return the lines of the doctors and days of `rows`."""
    day, days = claims.doctor_day
    wanted = np.zeros(days, np.bool_)
    wanted[day[rows]] = True
    return wanted[day]


def _keys(claims: Claims, rows: Ints) -> Ints:
    """Return a number for each row's doctor, day, patient (none is one as well) and code."""
    patients = np.int64(claims.size_of("patient_key") + 1)
    persons = claims.doctor_day[0][rows] * patients + claims.patient[rows] + 1
    return persons * np.int64(claims.size_of("code")) + claims.indices("code")[rows]
