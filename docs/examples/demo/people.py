"""Who takes part: two tenants, two roles, and an issuer made for this run."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from jwtrole.testing import ThrowawayIssuer

ISSUER = ThrowawayIssuer("https://id.example.com/", audience="shop", algorithm="RS256")

TENANTS = {
    "red": UUID("11111111-1111-4111-8111-111111111111"),
    "blue": UUID("22222222-2222-4222-8222-222222222222"),
}


@dataclass(frozen=True)
class Person:
    """Be somebody with a token.

    Args:
        name: Their ``sub``.
        tenant: The tenant they belong to.
        role: What their token says they are.
        invoice: The invoice they write.
    """

    name: str
    tenant: str
    role: str
    invoice: str

    @property
    def other(self) -> str:
        """Return the tenant they do not belong to."""
        return next(name for name in TENANTS if name != self.tenant)

    @property
    def token(self) -> str:
        """Return a token of theirs, good for ten minutes."""
        return self.mint()

    def mint(self, **claims: object) -> str:
        """Return a token of theirs with other claims."""
        own = {
            "sub": self.name,
            "tenant_id": str(TENANTS[self.tenant]),
            "role": self.role,
        }
        return ISSUER.mint(**{**own, **claims})


PEOPLE = (
    Person("ada", "red", "member", "red-1"),
    Person("max", "red", "manager", "red-2"),
    Person("bea", "blue", "member", "blue-1"),
    Person("tom", "blue", "manager", "blue-2"),
)
