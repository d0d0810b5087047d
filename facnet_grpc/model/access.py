"""Who calls."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """The identity that a call is made with."""

    owner: str  # runs belong to it


# Without authentication the server listens on loopback only, and everybody there is the same owner.
LOCAL = Caller(owner="local")
