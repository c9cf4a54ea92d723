"""What is declared, in the terms of the database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jwtrole.quoting import qualified

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from jwtrole.catalog import Found
    from jwtrole.policy import Policy
    from jwtrole.roles import Grant
    from jwtrole.sequences import SequenceGrant

__all__ = ["Declared", "Expected"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """Be what is declared on one table.

    Args:
        table: The table's name.
        schema: The table's schema, or ``None`` for the search path's.
        protected: Whether row security is to be on.
        policies: Its policies.
        grants: Its grants.
        sequences: Who may draw from the sequence of a column, where it has one.
    """

    table: str
    schema: str | None = None
    protected: bool
    policies: Sequence[Policy] = ()
    grants: Sequence[Grant] = ()
    sequences: Sequence[SequenceGrant] = ()

    @property
    def name(self) -> str:
        """Return how people call the table."""
        return self.table if self.schema is None else f"{self.schema}.{self.table}"

    @property
    def quoted(self) -> str:
        """Return how SQL calls the table."""
        return qualified(self.schema, self.table)

    @property
    def roles(self) -> set[str]:
        """Return every role that is named."""
        to = {role for policy in self.policies for role in policy.to}
        return to | {grant.role for grant in self.grants}


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """Be what holds for every table.

    Args:
        owner: Who owns the tables.
        roles: The roles whose grants are declared. What others were granted is left
            alone, but for ``PUBLIC``, which gives it to these as well.
        migrate: The command that makes a missing table.
        forced: Whether row security is to hold for the owner as well.
        elsewhere: Names of policies that are declared on no table here, and are to be
            there all the same: what they say is not compared.
    """

    owner: str
    roles: Collection[str]
    migrate: str
    forced: bool = True
    elsewhere: Collection[str] = ()

    def names(self, role: str) -> bool:
        """Say whether what a role is granted has to be declared."""
        return role == "PUBLIC" or role in self.roles

    def keeps(self, found: Found) -> bool:
        """Say whether a policy is one that is declared elsewhere."""
        return found.is_ours and found.policy.name in self.elsewhere
