"""Which column of a file is which: names as exported, other names in use, accents lost or mangled.

A name is matched by a pattern in which every accented letter may be there, be bare, be gone, or be whatever a wrong
decoding made of it; spaces, dashes, apostrophes and case do not matter.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache

from facnet_grpc.errors import Reason, TerminalError
from facnet_grpc.model.billing import NEEDED, WANTED

# Canonical column: its name in the exports first, then other names in use.
NAMES: Mapping[str, tuple[str, ...]] = {
    "line_label": ("#", "No", "No ligne", "Ligne"),
    "invoice": ("Facture", "No facture", "No de facture", "Numéro de facture"),
    "ramq_id": ("ID RAMQ", "RAMQ ID", "Identifiant RAMQ"),
    "service_date": ("Date de Service", "Date du service", "Date service", "Date des services", "Date", "Service date"),
    "start_time": ("Début", "Heure de début", "Heure début", "Start time"),
    "end_time": ("Fin", "Heure de fin", "Heure fin", "End time"),
    "payment_period": ("Période", "Période de paiement"),
    "place": ("Lieu de pratique", "Lieu", "Établissement", "Lieu de dispensation"),
    "activity_sector": ("Secteur d'activité", "Secteur"),
    "diagnosis": ("Diagnostic", "Code de diagnostic", "Code diagnostic"),
    "code": ("Code", "Code d'acte", "Code acte", "Code de facturation", "Acte"),
    "units": ("Unités", "Unité", "Nombre d'unités", "Nb unités", "Units"),
    "role": ("Rôle",),
    "context": ("Élément de contexte", "Éléments de contexte", "Contexte", "Contextes"),
    "preliminary_cents": ("Montant Préliminaire", "Montant prélim", "Préliminaire", "Preliminary amount"),
    "paid_cents": ("Montant payé", "Payé", "Paid amount"),
    "doctor_key": ("Doctor Info", "Info docteur", "Docteur", "Médecin", "Professionnel", "Doctor"),
    "agency": ("Agence", "Agency"),
    "patient_key": ("Patient", "NAM", "Patient NAM", "NAM Patient"),
}

_MANGLED = "[^a-z0-9]{0,4}"  # what is left of an accented letter: nothing, `?`, U+FFFD, `Ã©` …
_DIGIT = re.compile("[0-9]")
_DIGITS_ECHOED = 3  # a header cell with more digits than that might be data


@dataclass(frozen=True, slots=True)
class Columns:
    """Where the columns of a header are, and what they are called there."""

    positions: Mapping[str, int]
    header: Mapping[str, str]
    width: int
    recognised: int
    """How many cells of the line are names of columns, duplicates included."""

    @property
    def missing_wanted(self) -> tuple[str, ...]:
        """The wanted columns that are not there."""
        return tuple(name for name in WANTED if name not in self.positions)


def name_of(column: str) -> str:
    """Return what a canonical column is called in the exports."""
    return NAMES[column][0]


def recognise(text: str) -> tuple[str, int] | None:
    """Return the canonical column that a header cell names, and which of its names (0 is the usual one)."""
    if _DIGIT.search(text):  # no name has one, and most cells that are no names have some
        return None
    text = unicodedata.normalize("NFC", text).strip().lower()
    if text == "#":
        return "line_label", 0
    pattern, meanings = _names()
    found = pattern.fullmatch(text)
    return meanings[found.lastgroup] if found and found.lastgroup else None


def most(cells: Sequence[str]) -> int:
    """Return how many columns a header line with these cells can have at the most."""
    return sum(1 for cell in cells if cell and not _DIGIT.search(cell))


def match(cells: Sequence[str]) -> Columns:
    """Find the columns of a header line; of two names for one column the more usual one counts.

    Two columns of the same name are both left in `recognised` and one in `positions`; see `check`.
    """
    best: dict[str, tuple[int, int]] = {}
    recognised = 0
    for position, cell in enumerate(cells):
        found = recognise(cell)
        if found:
            recognised += 1
            column, rank = found
            if column not in best or rank < best[column][0]:
                best[column] = (rank, position)
    positions = {column: position for column, (_, position) in best.items()}
    header = {column: cells[position].strip() for column, position in positions.items()}
    return Columns(positions, header, len(cells), recognised)


def check(columns: Columns, cells: Sequence[str]) -> None:
    """Make sure that the header can be used.

    Raises:
        TerminalError: DUPLICATE_COLUMNS or MISSING_COLUMNS; names of columns only, never what might be a patient's.
    """
    names = [recognise(cell) for cell in cells]
    twice = sorted({name_of(name[0]) for name in names if name and names.count(name) > 1})
    if twice:
        raise TerminalError(Reason.DUPLICATE_COLUMNS, columns=twice)
    missing = [name_of(column) for column in NEEDED if column not in columns.positions]
    if missing:
        raise TerminalError(
            Reason.MISSING_COLUMNS,
            missing=missing,
            found=[name_of(column) for column in columns.positions],
            nearest=_nearest(missing, cells) if columns.recognised * 2 > len(cells) else [],
        )


def _nearest(missing: Sequence[str], cells: Sequence[str]) -> list[str]:
    """Return unrecognised header cells that look like missing ones, at most one for each."""
    strange = {_fold(cell): cell.strip() for cell in cells if not recognise(cell) and _is_harmless(cell)}
    close = [get_close_matches(_fold(name), strange, n=1, cutoff=0.5) for name in missing]
    return list(dict.fromkeys(strange[names[0]] for names in close if names))


def _is_harmless(cell: str) -> bool:
    return sum(letter.isdigit() for letter in cell) <= _DIGITS_ECHOED and len(cell.strip()) <= 40  # noqa: PLR2004 - a name


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower().strip()


@cache
def _names() -> tuple[re.Pattern[str], Mapping[str, tuple[str, int]]]:
    """Return one pattern for all names, and the column and rank that each of its groups stands for."""
    names = [(name, column, rank) for column, column_names in NAMES.items() for rank, name in enumerate(column_names)]
    known = {f"n{number}": entry for number, entry in enumerate(names) if entry[0] != "#"}
    patterns = [f"(?P<{group}>{_pattern(name)})" for group, (name, _, _) in known.items()]
    return re.compile("|".join(patterns)), {group: (column, rank) for group, (_, column, rank) in known.items()}


def _pattern(name: str) -> str:
    parts = []
    for letter in unicodedata.normalize("NFC", name).lower():
        base = unicodedata.normalize("NFD", letter)[0]
        if base != letter:
            parts.append(f"(?:{base}|{_MANGLED})")
        else:
            parts.append(letter if letter.isalnum() else r"[\W_]*")
    return r"[\W_]*" + "".join(parts) + r"[\W_]*"
