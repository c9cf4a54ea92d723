"""How a policy is written for the engine that runs it: the emitter's habits, once.

An engine that shards PostgreSQL refuses some of what PostgreSQL allows. What differs
stands here, and the adapters ask.
"""

from __future__ import annotations

from dataclasses import dataclass

from jwtrole.errors import ConfigurationError
from jwtrole.quoting import literal

__all__ = ["POSTGRESQL", "Dialect"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """Be the habits of one engine.

    Args:
        name: The engine's name, for messages.
        sub_selects: Whether a policy may hold one. It makes PostgreSQL read a claim
            once a statement; a bare call is read once a row.
        restrictive: Whether AS RESTRICTIVE is kept. Where it is not, such a policy
            would open what it is meant to close.
    """

    name: str = "PostgreSQL"
    sub_selects: bool = True
    restrictive: bool = True

    def claim(self, claim: str, sql_type: str = "text") -> str:
        """Return a claim as an expression for policies."""
        return self._call(self.claim_default(claim, sql_type))

    @staticmethod
    def claim_default(claim: str, sql_type: str = "text") -> str:
        """Return a claim as a column default, which may hold no sub-select."""
        call = f"jwtrole.claim({literal(claim).strip()})"
        return call if sql_type.lower() == "text" else f"{call}::{sql_type}"

    def sealed(self, clause: str) -> str:
        """Return a clause that also asks for an identity put on in this transaction.

        Without it an ``OR`` or a bare ``true`` would open rows to a session that
        merely switched its role.
        """
        return f"{self._call('jwtrole.sealed()')} AND ({clause})"

    def require_mode(self, where: str, *, permissive: bool) -> None:
        """Refuse what the engine would not keep.

        Args:
            where: Which policy, for the message.
            permissive: Whether the policy is PERMISSIVE.

        Raises:
            ConfigurationError: It is RESTRICTIVE and the engine knows no such policies.
        """
        if not permissive and not self.restrictive:
            msg = (
                f"{where}: {self.name} keeps no RESTRICTIVE policy; it would open rows "
                "there. Add its condition to each permissive policy instead."
            )
            raise ConfigurationError(msg)

    def _call(self, call: str) -> str:
        return f"(SELECT {call})" if self.sub_selects else call


#: What is written unless somebody says otherwise.
POSTGRESQL = Dialect()
