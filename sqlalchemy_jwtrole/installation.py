"""The schema ``jwtrole`` and what it trusts, from Python and without migrations."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from jwtrole import install as schema
from jwtrole.sync import statements
from sqlalchemy_jwtrole import create
from sqlalchemy_jwtrole.preamble import text_of

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from sqlalchemy import Engine

    from jwtrole.tokens import JWTRole

__all__ = ["install", "sync"]


def install(owner: Engine | Connection, auth: JWTRole, *, login: str) -> None:
    """Install the schema ``jwtrole``, or change it into the newest for ``auth.trust``.

    Policies that are there stay. Told twice, nothing changes. With
    ``trust="database"`` the login may then ask for verification, and the database
    trusts what ``auth`` does, as :func:`sync` says.

    Args:
        owner: An engine or a connection that logs in as the owner.
        auth: The configuration.
        login: The role that the application logs in as.

    Raises:
        ConfigurationError: A role is missing, or as :func:`sync` says.
        KeysUnavailable: An issuer's keys cannot be had now.
    """
    wanted = schema.latest(auth.trust)
    with _transaction(owner) as connection:
        create.require_roles(connection, [schema.OWNER_ROLE, login], logins=[login])
        installed = create.installed_version(connection)
        if installed is None:
            create.execute(connection, wanted.up())
        elif installed != wanted.version:
            create.execute(connection, schema.change(installed, wanted.version))
        create.execute(connection, wanted.grants(login))
        if auth.trust == "database":
            sync(connection, auth)


def sync(owner: Engine | Connection, auth: JWTRole) -> None:
    """Have the database trust the issuers, keys and role maps that ``auth`` does.

    Keys at a ``jwks_uri`` are fetched. Told twice, nothing changes.

    Args:
        owner: An engine or a connection that logs in as the owner.
        auth: The configuration.

    Raises:
        ConfigurationError: The database cannot do the same.
        KeysUnavailable: An issuer's keys cannot be had now.
    """
    wanted = statements(auth)
    with _transaction(owner) as connection:
        for statement in wanted:
            text = text_of(connection, statement)
            connection.exec_driver_sql(text, statement.parameters)


def _transaction(owner: Engine | Connection) -> AbstractContextManager[Connection]:
    # A connection's transaction is its owner's to end.
    return nullcontext(owner) if isinstance(owner, Connection) else owner.begin()
