"""Compare declared grants with the database's, role by role.

Only roles that the metadata names are looked at: what others were granted by others
is not ours to revoke.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jwtrole.privileges import each, grants, swept
from jwtrole.sequences import SequenceGrant
from sqlalchemy_jwtrole.alembic import operations as op
from sqlalchemy_jwtrole.alembic.operation import Operation, TableName

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Table

    from jwtrole.live import Live
    from sqlalchemy_jwtrole.policy import Declared

__all__ = ["differing_privileges", "differing_sequences", "every_privilege"]

_Both = tuple[list[Operation], list[Operation]]


def differing_privileges(
    table: Table, declared: Declared, live: Live, named: set[str]
) -> _Both:
    """Return what to revoke and what to grant on a table."""
    wanted = {one for grant in declared.privileges(table) for one in each(grant)}
    surplus = {one for one in live.privileges - wanted if one.role in named}
    missing = (wanted - live.privileges) | swept(wanted, surplus)
    name = TableName(table.name, table.schema)
    return (
        [op.RevokePrivileges(grant) for grant in grants(*name, surplus)],
        [op.GrantPrivileges(grant) for grant in grants(*name, missing)],
    )


def differing_sequences(
    table: Table, declared: Declared, live: Live, named: set[str]
) -> _Both:
    """Return what to revoke and what to grant on the sequences of a table."""
    wanted = {(one.column, one.role) for one in declared.sequences(table)}
    if live.exists:
        wanted = {one for one in wanted if one[0] in live.sequences}
    has = {(column, role) for column, them in live.sequences.items() for role in them}
    surplus = {one for one in has - wanted if one[1] in named}
    name = TableName(table.name, table.schema)
    return (
        [op.RevokeSequence(_sequence(name, *one)) for one in sorted(surplus)],
        [op.GrantSequence(_sequence(name, *one)) for one in sorted(wanted - has)],
    )


def every_privilege(
    table: TableName, live: Live, named: set[str]
) -> Iterator[Operation]:
    """Yield what revokes all that roles have on a table."""
    held = {one for one in live.privileges if one.role in named}
    for grant in grants(*table, held):
        yield op.RevokePrivileges(grant)
    for column, them in sorted(live.sequences.items()):
        for role in sorted(them & named):
            yield op.RevokeSequence(_sequence(table, column, role))


def _sequence(table: TableName, column: str, role: str) -> SequenceGrant:
    return SequenceGrant(
        table=table.table, schema=table.schema, column=column, role=role
    )
