"""Compare what is declared on a MetaData with what roles have on what is no table."""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING

from jwtrole import catalog
from jwtrole.catalog import PrivilegeOn
from jwtrole.errors import ConfigurationError
from jwtrole.grants import GrantOn
from sqlalchemy_jwtrole.alembic import operations as op
from sqlalchemy_jwtrole.create import query

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy import Connection

    from sqlalchemy_jwtrole.alembic.operation import Operation

__all__ = ["differing_grants"]

#: What PostgreSQL itself gives everybody, and nobody declares.
_OPEN = ("function", "schema", "default functions")


def differing_grants(
    connection: Connection, declared: Sequence[GrantOn], named: set[str]
) -> tuple[list[Operation], list[Operation]]:
    """Return what to revoke and what to grant.

    Args:
        connection: Of the owner.
        declared: What is declared.
        named: The roles that are looked at; what others have is not ours.

    Raises:
        ConfigurationError: A grant names the sequence of a table's column.
    """
    live = catalog.found_grants(query(connection, catalog.grants_sql()))
    wanted = {one for grant in declared for one in _each(_spelled(connection, grant))}
    surplus = {
        one
        for one in live - wanted
        if one.role in named and not (one.role == "PUBLIC" and one.kind in _OPEN)
    }
    return (
        [op.RevokeOn(grant) for grant in _grants(surplus)],
        [op.GrantOn(grant) for grant in _grants(wanted - live)],
    )


def _spelled(connection: Connection, grant: GrantOn) -> GrantOn:
    sql = catalog.named_sql(grant)
    rows = query(connection, sql) if sql else []
    if not rows:
        # To be created by the same revision, then.
        return grant
    schema, name, owned = rows[0]
    if owned:
        msg = (
            f"The sequence {name!r} belongs to a column: Grant INSERT on the table, "
            "which brings what the sequence needs."
        )
        raise ConfigurationError(msg)
    return dataclasses.replace(grant, name=name, schema=schema)


def _each(grant: GrantOn) -> Iterator[PrivilegeOn]:
    for privilege in grant.on:
        yield PrivilegeOn(grant.kind, grant.schema, grant.name, grant.to, privilege)


def _grants(privileges: Iterable[PrivilegeOn]) -> Iterator[GrantOn]:
    by_object = itertools.groupby(
        sorted(privileges), lambda one: (one.kind, one.name, one.role, one.schema)
    )
    for (kind, name, role, schema), some in by_object:
        on = tuple(one.privilege for one in some)
        yield GrantOn(kind, name, role, on, schema)
