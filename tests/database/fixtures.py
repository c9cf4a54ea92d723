"""The fixtures of the whole database mode, for these tests and for the attacks."""

from __future__ import annotations

import contextlib
import itertools
from typing import TYPE_CHECKING

import psycopg
import pytest

from jwtrole import install
from tests import postgres
from tests.database.acting import Attempt, TrustedIssuer

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "attempt",
    "install_database_mode",
    "issuer",
    "neighbour",
    "owner",
    "sealed_database",
    "superuser",
]

# Each folder of tests has a database of its own.
_numbers = itertools.count(1)


def install_database_mode(server: postgres.Server, name: str) -> None:
    """Install the newest release of the database mode, as an owner without powers."""
    release = install.latest("database")
    with server.connect(postgres.OWNER, name) as owner, owner.transaction():
        for statement in (*release.up(), *release.grants(postgres.LOGIN)):
            owner.execute(statement.encode())


@pytest.fixture(scope="session")
def sealed_database(server: postgres.Server, worker: str) -> Iterator[str]:
    """Return a database of this worker with the database mode installed."""
    name = f"jwtrole_sealed_{worker}_{next(_numbers)}"
    server.create_database(name, schema=False)
    install_database_mode(server, name)
    yield name
    server.drop_database(name)


@pytest.fixture
def owner(
    server: postgres.Server, sealed_database: str
) -> Iterator[psycopg.Connection]:
    """Return an autocommit connection of the tables' owner."""
    with contextlib.closing(server.connect(postgres.OWNER, sealed_database)) as found:
        yield found


@pytest.fixture
def superuser(
    server: postgres.Server, sealed_database: str
) -> Iterator[psycopg.Connection]:
    """Return an autocommit connection of a superuser."""
    dsn = psycopg.conninfo.make_conninfo(server.dsn, dbname=sealed_database)
    with contextlib.closing(psycopg.connect(dsn, autocommit=True)) as found:
        yield found


@pytest.fixture
def attempt(server: postgres.Server, sealed_database: str) -> Iterator[Attempt]:
    """Return the login role's connection, a backend of its own for each test."""
    with contextlib.closing(server.connect(postgres.LOGIN, sealed_database)) as found:
        yield Attempt(found)


@pytest.fixture
def neighbour(server: postgres.Server, sealed_database: str) -> Iterator[Attempt]:
    """Return another connection of the login role."""
    with contextlib.closing(server.connect(postgres.LOGIN, sealed_database)) as found:
        yield Attempt(found)


@pytest.fixture
def issuer(owner: psycopg.Connection) -> Iterator[TrustedIssuer]:
    """Return an issuer that the database trusts for the length of a test."""
    found = TrustedIssuer(owner)
    found.trust()
    yield found
    for table, column in (("denied", "issuer"), ("issuer", "name")):
        found.owner.execute(
            f"DELETE FROM jwtrole.{table} WHERE {column} = %s".encode(), (found.name,)
        )
    if found.owner is not owner:
        found.owner.close()
