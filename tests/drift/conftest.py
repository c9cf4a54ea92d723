"""Each ORM makes a database; a superuser does in it what nobody declared."""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.drift.worlds import WORLDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests import postgres
    from tests.drift.worlds import World


@pytest.fixture(scope="session", params=sorted(WORLDS))
def made(
    request: pytest.FixtureRequest, server: postgres.Server, worker: str
) -> Iterator[tuple[type[World], str]]:
    """Return one ORM after the other, and a database in which it made everything."""
    name = f"drift_{worker}_{uuid.uuid4().hex[:8]}"
    server.create_database(name, schema=False)
    kind: type[World] = WORLDS[request.param]
    kind(server, name).make()
    yield kind, name
    server.drop_database(name)


@pytest.fixture
def database(server: postgres.Server, made: tuple[type[World], str]) -> Iterator[str]:
    """Return a copy of that database for one test."""
    name = f"{made[1]}_copy"
    with psycopg.connect(server.dsn, autocommit=True) as admin:
        admin.execute(
            f"CREATE DATABASE {name} TEMPLATE {made[1]} OWNER app_owner".encode()
        )
    yield name
    server.drop_database(name)


@pytest.fixture
def world(
    server: postgres.Server, made: tuple[type[World], str], database: str
) -> World:
    """Return a world in which everything is as declared."""
    return made[0](server, database)


@pytest.fixture
def admin(server: postgres.Server, database: str) -> Iterator[psycopg.Connection]:
    """Return a superuser's connection to the database of the world."""
    with contextlib.closing(server.connect("postgres", database)) as connection:
        yield connection
