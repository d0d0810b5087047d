"""Who calls, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

MAX_LABEL = 64  # characters
PHI_READ = "phi:read"  # the scope that shows patients and doctors as they are


class Role(IntEnum):
    """What a caller may do; each includes those before it."""

    VIEWER = 1  # reads runs of its owner
    EDITOR = 2  # submits, cancels, retries, deletes them
    ADMIN = 3  # operations, reference data, and other owners' runs

    @classmethod
    def of(cls, name: str) -> Role | None:
        """Return the role that is called `name` (lower case), None for a name that is no role."""
        return _ROLES.get(name)


_ROLES = {role.name.lower(): role for role in Role}


@dataclass(frozen=True, slots=True)
class Caller:
    """The identity that a call is made with."""

    owner: str  # runs belong to it
    subject: str = ""  # the person or program within it, as the issuer names it: for audit lines, never for access
    roles: frozenset[Role] = frozenset()
    scopes: frozenset[str] = frozenset()
    confined: bool = False  # to the owner's runs, whatever the role

    def may(self, role: Role) -> bool:
        """Whether the caller has `role`, or one that includes it."""
        return any(own >= role for own in self.roles)

    @property
    def label(self) -> str:
        """The owner as logs name it: an issuer may put anything into a claim."""
        return self.owner[:MAX_LABEL]

    @property
    def reads_phi(self) -> bool:
        """Whether answers may name patients and doctors."""
        return PHI_READ in self.scopes

    @property
    def scope(self) -> str | None:
        """The owner whose runs can be reached; None for admins, who reach those of every owner."""
        return None if self.may(Role.ADMIN) and not self.confined else self.owner


# Without authentication the server listens on loopback only, and everybody there is the same owner, who may do all,
# and sees nothing of the owners that the same database may know.
LOCAL = Caller(owner="local", subject="local", roles=frozenset({Role.ADMIN}), confined=True)
