"""The database mode behind PgBouncer, on a hot standby and on the server itself."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.behaviour import conftest as behaviour
from tests.deployment import bouncer as pgbouncer
from tests.deployment import documented as page
from tests.deployment import standby as hot_standby

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests import postgres

issuer = behaviour.issuer
auth = behaviour.auth
red = behaviour.red
blue = behaviour.blue
people = behaviour.people
filled = behaviour.filled


@pytest.fixture(scope="session")
def documented(tmp_path_factory: pytest.TempPathFactory) -> page.Documented:
    """Return what the documentation has users set."""
    return page.read(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="session")
def pooler_is_here() -> None:
    """Skip what needs PgBouncer where it is not installed; in CI that is a failure."""
    if pgbouncer.program() is None:
        reason = "PgBouncer is not installed (on Debian: apt-get install pgbouncer)"
        if os.environ.get("CI"):
            pytest.fail(f"{reason}, and CI is set")
        pytest.skip(reason)


@pytest.fixture(scope="session")
def bouncer(
    pooler_is_here: None, server: postgres.Server, documented: page.Documented
) -> Iterator[postgres.Server]:
    """Return the server behind a PgBouncer that never cleans a backend."""
    settings = {"pool_mode": documented.bouncer["pool_mode"]}
    with pgbouncer.running(server, settings) as found:
        yield found


@pytest.fixture(scope="session")
def standby(
    pytestconfig: pytest.Config, server: postgres.Server
) -> Iterator[hot_standby.Standby]:
    """Return a hot standby of the server."""
    if pytestconfig.getoption("--dsn"):
        pytest.skip("a standby would copy every database of the server --dsn names")
    with hot_standby.following(server) as found:
        yield found
