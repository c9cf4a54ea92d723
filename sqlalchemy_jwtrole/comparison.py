"""Whether a database is what its metadata declares."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from jwtrole import drift as core
from jwtrole.declared import Declared
from jwtrole.errors import ConfigurationError
from sqlalchemy_jwtrole.policy import protected

if TYPE_CHECKING:
    from sqlalchemy import Connection, MetaData

    from jwtrole.difference import Difference

__all__ = ["MIGRATE", "declared_tables", "drift"]

#: What makes a table that is missing.
MIGRATE = "alembic upgrade head"


def drift(
    connection: Connection,
    *metadata: MetaData,
    owner: str | None = None,
    declared_only: bool = False,
) -> list[Difference]:
    """Return what in a database is not what metadata declares, the worst first.

    Nothing is left changed. Give all the metadata of the database: policies that
    jwtrole made on tables of none of them are differences too, unless it is told to
    look at declared tables only.

    Args:
        connection: Logged in as the owner of the tables, inside a transaction.
        metadata: What is declared.
        owner: Who is to own the tables; the connection's role unless given.
        declared_only: Whether another project has tables here that jwtrole protects,
            which are none of this one's.

    Raises:
        ConfigurationError: A declaration cannot be written as SQL, the database is
            none of PostgreSQL's, or a superuser does not say who owns the tables.
    """
    if connection.dialect.name != "postgresql":
        msg = f"{connection.dialect.name} has no row security: nothing can be compared."
        raise ConfigurationError(msg)
    tables = declared_tables(*metadata)
    ask = functools.partial(_ask, connection)
    expected = core.expect(ask, tables, owner=owner, migrate=MIGRATE)
    return core.find(ask, tables, expected, is_ours=lambda _: not declared_only)


def declared_tables(*metadata: MetaData) -> list[Declared]:
    """Return what metadata declares, in the terms of the database.

    Raises:
        ConfigurationError: A declaration cannot be written as SQL.
    """
    return [
        Declared(
            table=table.name,
            schema=table.schema,
            protected=bool(one.policies),
            policies=one.compiled(table),
            grants=one.privileges(table),
            sequences=one.sequences(table),
        )
        for each in metadata
        for table, one in protected(each)
    ]


def _ask(connection: Connection, sql: str) -> list[Any]:
    # The statement has no placeholder in it.
    options = {"no_parameters": True}
    result = connection.exec_driver_sql(sql, execution_options=options)
    return list(result.all()) if result.returns_rows else []
