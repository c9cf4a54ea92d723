"""What protects one table in the database, read by whoever can send a query."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jwtrole import catalog
from jwtrole.roles import PRIVILEGES

__all__ = ["Ask", "Live", "read"]

#: Sends a statement without any placeholder in it and returns its rows, if any.
Ask = Callable[[str], Sequence[Sequence[Any]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """Be what the database has for a table.

    Args:
        oid: What PostgreSQL knows it by, ``None`` where there is no such table.
        enabled: Whether row security is on.
        forced: Whether it is on for the owner.
        owner: Who owns it.
        policies: Its policies by name.
        privileges: Who but the owner may do what.
        escapes: Who but the owner may do what works past row security.
        sequences: Who may draw from the sequence of a column that has one.
        serials: The columns where that right is needed.
    """

    oid: int | None
    enabled: bool
    forced: bool
    owner: str
    policies: dict[str, catalog.Found]
    privileges: set[catalog.Privilege]
    escapes: set[catalog.Privilege]
    sequences: dict[str, set[str]]
    serials: set[str]

    @property
    def exists(self) -> bool:
        """Say whether there is such a table."""
        return self.oid is not None


def read(ask: Ask, table: str, schema: str | None) -> Live:
    """Return what the database has for a table, all empty where there is none."""
    flags = ask(catalog.table_sql(table, schema))
    oid, enabled, forced, owner = flags[0] if flags else (None, False, False, "")
    policies = ask(catalog.policies_sql(table, schema))
    privileges = catalog.found_privileges(ask(catalog.privileges_sql(table, schema)))
    sequences = ask(catalog.sequences_sql(table, schema))
    declarable = {one for one in privileges if one.name in PRIVILEGES}
    return Live(
        oid=oid,
        enabled=enabled,
        forced=forced,
        owner=owner,
        policies=catalog.found_policies(policies, table, schema),
        privileges=declarable,
        escapes=privileges - declarable,
        sequences=catalog.found_sequences(sequences),
        serials=catalog.found_serials(sequences),
    )
