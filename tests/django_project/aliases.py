"""Aliases beside the settings' own: a login on a real database, no test of Django's."""

from __future__ import annotations

import contextlib
import functools
import itertools
from typing import TYPE_CHECKING, Any

from django.core.management import call_command
from django.db import connections

from tests import postgres
from tests.django_project.engine.base import AUTHS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.backends.base.base import BaseDatabaseWrapper

    from jwtrole.tokens import JWTRole

_numbers = itertools.count(1)


def register(
    server: postgres.Server, database: str, auth: JWTRole, **given: Any
) -> str:
    """Add an alias that logs in as the application and trusts what it is given."""
    alias = f"login_{next(_numbers)}"
    AUTHS[alias] = auth
    _add(
        server,
        alias,
        {
            "ENGINE": "tests.django_project.engine",
            "USER": postgres.LOGIN,
            "NAME": database,
            **given,
        },
    )
    return alias


def forget(alias: str) -> None:
    """Close an alias of this thread and take it away."""
    connection = connections[alias]
    connection.close()
    connection.close_pool()
    del connections[alias]
    del connections.settings[alias]


def migrate(server: postgres.Server, database: str) -> None:
    """Make the tables of the project's own application as the owner."""
    with owning(server, database) as alias:
        call_command("migrate", "billing", database=alias, verbosity=0)


@contextlib.contextmanager
def owning(server: postgres.Server, database: str) -> Iterator[str]:
    """Add an alias that logs in as the owner, past everything that tests put on.

    Whatever login the tests of Django have put on ``default``, one alias is the
    application's as long as it is there.
    """
    engine = "tests.django_project.engine"
    login = {"ENGINE": engine, "USER": postgres.LOGIN, "NAME": database}
    _add(server, "login", login)
    try:
        with owned(server, database) as alias:
            yield alias
    finally:
        forget("login")


@contextlib.contextmanager
def owned(server: postgres.Server, database: str) -> Iterator[str]:
    """Add an alias of the owner for the length of a block."""
    alias = f"owner_{next(_numbers)}"
    engine = "django.db.backends.postgresql"
    _add(server, alias, {"ENGINE": engine, "USER": postgres.OWNER, "NAME": database})
    connection = connections[alias]
    connection.ensure_connection = functools.partial(_connect, connection)
    try:
        yield alias
    finally:
        forget(alias)


def _add(server: postgres.Server, alias: str, given: dict[str, Any]) -> None:
    host, port = server.address
    place = {"HOST": host, "PORT": port, **given}
    configured = connections.configure_settings({"default": {}, alias: place})
    connections.settings[alias] = configured[alias]


def _connect(connection: BaseDatabaseWrapper) -> None:
    # pytest-django closes the stock way in, as these are no tests of its kind.
    if connection.connection is None:
        connection.connect()
