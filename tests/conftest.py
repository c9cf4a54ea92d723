"""One PostgreSQL for the run, a database for each worker, the project's roles."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING

import pytest

from tests import postgres

if TYPE_CHECKING:
    from collections.abc import Iterator

_DSN = "JWTROLE_TEST_DSN"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Say which server the tests use."""
    group = parser.getgroup("jwtrole")
    group.addoption("--dsn", help="a superuser's DSN of a running PostgreSQL")
    group.addoption(
        "--postgres", help="a directory with PostgreSQL's programs, initdb among them"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Start the server before xdist starts its workers, which inherit its address."""
    if getattr(config.option, "numprocesses", None) and _DSN not in os.environ:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            server = _start(config)
        os.environ[_DSN] = server.dsn
        config.add_cleanup(lambda: os.environ.pop(_DSN, None))
        config.add_cleanup(server.stop)


def _start(config: pytest.Config) -> postgres.Server:
    return postgres.start(config.getoption("--postgres"), config.getoption("--dsn"))


@pytest.fixture(scope="session")
def server(pytestconfig: pytest.Config) -> Iterator[postgres.Server]:
    """Return the one server of this run, roles made."""
    if dsn := os.environ.get(_DSN):
        yield postgres.Server(dsn, lambda: None)
        return
    running = _start(pytestconfig)
    yield running
    running.stop()


@pytest.fixture(scope="session")
def worker(request: pytest.FixtureRequest) -> str:
    """Return a name that no other worker of this run has."""
    name = os.environ.get("PYTEST_XDIST_WORKER", "main")
    return f"{name}_{os.getpid()}"


@pytest.fixture(scope="session")
def database(server: postgres.Server, worker: str) -> Iterator[str]:
    """Return a database of this worker with the schema ``jwtrole`` in it."""
    name = f"jwtrole_{worker}"
    server.create_database(name)
    yield name
    server.drop_database(name)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    server: postgres.Server, django_db_modify_db_settings_parallel_suffix: None
) -> None:
    """Have Django's aliases name this run's server before a database is made."""
    from django.db import connections

    host, port = server.address
    for alias in connections:
        connections[alias].settings_dict.update(HOST=host, PORT=port)
