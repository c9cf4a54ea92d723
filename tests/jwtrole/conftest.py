"""What the core's tests share: a transaction on the real server that leaves nothing."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from jwtrole.begin import Nobody, preamble
from tests import postgres

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jwtrole.identity import Identity

Rows = list[tuple[Any, ...]]


class Sandbox:
    """Be one transaction in which the test role becomes owner or anybody else.

    Args:
        connection: An autocommit connection of the test role.
    """

    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection = connection

    def run(self, *statements: str) -> Rows:
        """Run statements as whoever is in force and return the last one's rows."""
        rows: Rows = []
        for statement in statements:
            cursor = self.connection.execute(statement.encode())
            rows = cursor.fetchall() if cursor.description else []
        return rows

    def become(self, who: Identity | Nobody) -> None:
        """Put an identity on, until another one is."""
        for statement in preamble(who, "tests"):
            self.connection.execute(
                statement.with_percent().encode(), statement.parameters
            )

    def acting(self, who: Identity | Nobody, *statements: str) -> Rows:
        """Run statements as somebody and return the last one's rows."""
        self.become(who)
        return self.run(*statements)

    def owner(self, *statements: str) -> Rows:
        """Run statements as the owner of the tables."""
        return self.acting(Nobody(postgres.OWNER), *statements)

    def refused(self, *statements: str) -> str:
        """Run statements that the server must refuse and return its SQLSTATE."""
        with (
            pytest.raises(psycopg.Error) as caught,
            self.connection.transaction(),
        ):
            self.run(*statements)
        return caught.value.sqlstate or ""


@pytest.fixture
def admin(server: postgres.Server, database: str) -> Iterator[psycopg.Connection]:
    """Return a superuser's autocommit connection to the worker's database."""
    dsn = psycopg.conninfo.make_conninfo(server.dsn, dbname=database)
    with contextlib.closing(psycopg.connect(dsn, autocommit=True)) as connection:
        yield connection


@pytest.fixture
def login(server: postgres.Server, database: str) -> Iterator[psycopg.Connection]:
    """Return an autocommit connection of the login role to the worker's database."""
    with contextlib.closing(server.connect(postgres.LOGIN, database)) as connection:
        yield connection


@pytest.fixture
def sandbox(server: postgres.Server, database: str) -> Iterator[Sandbox]:
    """Return a transaction on the worker's database that is rolled back."""
    with contextlib.closing(server.connect(postgres.TEST, database)) as connection:
        connection.execute("BEGIN")
        yield Sandbox(connection)
        connection.execute("ROLLBACK")
