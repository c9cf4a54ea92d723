"""Compare declared grants with the database's, role by role.

Only roles that the metadata names are looked at: what others were granted by others
is not ours to revoke.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from jwtrole import roles
from jwtrole.catalog import Privilege
from sqlalchemy_jwtrole.alembic import operations as op
from sqlalchemy_jwtrole.alembic.operation import Operation, TableName
from sqlalchemy_jwtrole.sequences import SequenceGrant

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy import Table

    from sqlalchemy_jwtrole.alembic.live import Live
    from sqlalchemy_jwtrole.policy import Declared

__all__ = ["differing_privileges", "differing_sequences", "every_privilege"]

_Both = tuple[list[Operation], list[Operation]]


def differing_privileges(
    table: Table, declared: Declared, live: Live, named: set[str]
) -> _Both:
    """Return what to revoke and what to grant on a table."""
    wanted = {one for grant in declared.privileges(table) for one in _each(grant)}
    surplus = {one for one in live.privileges - wanted if one.role in named}
    # Revoking a privilege on the table takes it away on each column too.
    swept = {(one.role, one.name) for one in surplus if not one.column}
    missing = wanted - live.privileges
    missing |= {one for one in wanted if one.column and (one.role, one.name) in swept}
    name = TableName(table.name, table.schema)
    return (
        [op.RevokePrivileges(grant) for grant in _grants(name, surplus)],
        [op.GrantPrivileges(grant) for grant in _grants(name, missing)],
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
    for grant in _grants(table, held):
        yield op.RevokePrivileges(grant)
    for column, them in sorted(live.sequences.items()):
        for role in sorted(them & named):
            yield op.RevokeSequence(_sequence(table, column, role))


def _sequence(table: TableName, column: str, role: str) -> SequenceGrant:
    return SequenceGrant(
        table=table.table, schema=table.schema, column=column, role=role
    )


def _each(grant: roles.Grant) -> Iterator[Privilege]:
    for written in grant.on:
        name, _, columns = written.removesuffix(")").partition("(")
        for column in columns.split(", "):
            yield Privilege(grant.role, name, column)


def _grants(table: TableName, privileges: Iterable[Privilege]) -> Iterator[roles.Grant]:
    by_role: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for one in sorted(privileges):
        by_role[one.role][one.name].append(one.column)
    for role, by_name in by_role.items():
        on = []
        for name, columns in by_name.items():
            on += [name] if "" in columns else []
            named = [column for column in columns if column]
            on += [f"{name}({', '.join(named)})"] if named else []
        yield roles.Grant(
            table=table.table, schema=table.schema, role=role, on=tuple(on)
        )
