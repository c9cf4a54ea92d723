"""``create_all`` and ``Table.create``: the schema, the tables, then their policies."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Connection, MetaData, Table, event
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import ExecutableDDLElement

from jwtrole import install
from jwtrole.errors import ConfigurationError
from jwtrole.roles import bootstrap_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Describe = Callable[[Table], "Protection | None"]

__all__ = [
    "Protection",
    "Statement",
    "execute",
    "installed_version",
    "listen",
    "listen_metadata",
    "listen_table",
    "query",
    "require_roles",
]


class Protection(NamedTuple):
    """Be what is to be sent for a table, and the roles it names."""

    statements: list[str]
    roles: set[str]


class Statement(ExecutableDDLElement):
    """Be a statement that is sent as it is written, percent signs and all."""

    inherit_cache: bool | None = False

    def __init__(self, sql: str) -> None:
        self.sql = sql


@compiles(Statement)
def _statement(element: Statement, _compiler: Any, **_: Any) -> str:
    return element.sql


def execute(connection: Connection, statements: Iterable[str]) -> None:
    """Send statements one by one, without any placeholder in them."""
    for sql in statements:
        connection.execute(Statement(sql), execution_options={"no_parameters": True})


def query(connection: Connection, sql: str) -> list[Any]:
    """Return the rows of a query without any placeholder in it."""
    options = {"no_parameters": True}
    return list(connection.exec_driver_sql(sql, execution_options=options).all())


def listen(metadata: MetaData, describe: Describe) -> None:
    """Protect each table of a metadata when it is created.

    Args:
        metadata: Whose tables.
        describe: What protects a table, ``None`` where nothing is declared.
    """

    def before_create_all(
        _metadata: MetaData, connection: Connection, *, tables: Any = (), **_: Any
    ) -> None:
        found = {table.name: describe(table) for table in tables}
        _prepare(connection, {name: one for name, one in found.items() if one})

    def after_create_all(
        _metadata: MetaData, connection: Connection, *, tables: Any = (), **_: Any
    ) -> None:
        # Together and last: a policy may read a table that was created later.
        for table in tables:
            _protect(connection, describe(table))

    event.listen(metadata, "before_create", before_create_all)
    event.listen(metadata, "after_create", after_create_all)


def listen_table(table: Table, describe: Describe) -> None:
    """Protect a table when it is created alone, not by ``create_all``."""

    def before_create(_table: Table, connection: Connection, **kw: Any) -> None:
        found = None if kw["_is_metadata_operation"] else describe(table)
        _prepare(connection, {table.name: found} if found else {})

    def after_create(_table: Table, connection: Connection, **kw: Any) -> None:
        if not kw["_is_metadata_operation"]:
            _protect(connection, describe(table))

    event.listen(table, "before_create", before_create)
    event.listen(table, "after_create", after_create)


def _prepare(connection: Connection, tables: dict[str, Protection]) -> None:
    if not tables:
        return
    if connection.dialect.name != "postgresql":
        warnings.warn(
            f"{connection.dialect.name} has no row security: {', '.join(tables)} are "
            "created without their policies and grants.",
            stacklevel=2,
        )
    elif isinstance(connection, Connection):
        # A mock connection, which prints what it is given, knows no database.
        named = set().union(*(one.roles for one in tables.values()))
        installed = installed_version(connection) is not None
        require_roles(
            connection, named | (set() if installed else {install.OWNER_ROLE})
        )
        if not installed:
            execute(connection, install.release().up())


def installed_version(connection: Connection) -> int | None:
    """Return the version of the schema ``jwtrole``, ``None`` where it is not there."""
    if not query(connection, install.installed_version_sql())[0][0]:
        return None
    return int(query(connection, "SELECT jwtrole.version()")[0][0])


def require_roles(
    connection: Connection, roles: Iterable[str], *, logins: Iterable[str] = ()
) -> None:
    """Check that roles exist, which nothing but the bootstrap makes.

    Args:
        connection: Of the owner of the tables.
        roles: What must exist.
        logins: What the application logs in as, where that is known.

    Raises:
        ConfigurationError: Some are missing.
    """
    sql = "SELECT rolname::text, rolname = session_user FROM pg_catalog.pg_roles"
    known: dict[str, bool] = dict(map(tuple, query(connection, sql)))
    missing = sorted(set(roles) - known.keys() - {"PUBLIC"})
    if missing:
        line = bootstrap_line(
            owner=next(name for name, is_me in known.items() if is_me),
            logins=logins,
            roles=[
                name for name in missing if name not in {install.OWNER_ROLE, *logins}
            ],
        )
        msg = (
            f"The roles {', '.join(map(repr, missing))} do not exist: have somebody "
            f"with CREATEROLE run `{line}`, or with --auth MODULE:NAME instead of "
            "--role."
        )
        raise ConfigurationError(msg)


def listen_metadata(metadata: MetaData, describe: Callable[[], Protection]) -> None:
    """Send what is no table's when the tables of a metadata are created."""

    def describe_where(connection: Connection, tables: Any) -> Protection | None:
        # Where all tables are there already, so is this; and a login that asks whether
        # they are could grant nothing.
        nothing = metadata.tables and not tables
        if nothing or connection.dialect.name != "postgresql":
            return None
        return describe()

    def before_create(
        _metadata: MetaData, connection: Connection, *, tables: Any = (), **_: Any
    ) -> None:
        found = describe_where(connection, tables)
        if found and isinstance(connection, Connection):
            require_roles(connection, found.roles)

    def after_create(
        _metadata: MetaData, connection: Connection, *, tables: Any = (), **_: Any
    ) -> None:
        _protect(connection, describe_where(connection, tables))

    event.listen(metadata, "before_create", before_create)
    event.listen(metadata, "after_create", after_create)


def _protect(connection: Connection, protection: Protection | None) -> None:
    if protection and connection.dialect.name == "postgresql":
        execute(connection, protection.statements)
