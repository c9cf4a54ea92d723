"""No application begins on a database that does not agree with it."""

from __future__ import annotations

import importlib
import uuid
from typing import TYPE_CHECKING

import pytest

from jwtrole.errors import ConfigurationError
from tests import trusting
from tests.behaviour.conftest import ADAPTERS, DATABASE, make_auth

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jwtrole.testing import ThrowawayIssuer
    from tests import postgres
    from tests.behaviour.adapter import Adapter
    from tests.behaviour.conftest import People


@pytest.fixture(params=sorted(DATABASE))
def fresh(
    request: pytest.FixtureRequest, server: postgres.Server, issuer: ThrowawayIssuer
) -> Iterator[tuple[Adapter, str]]:
    """Return an adapter that has sent nothing yet, and its database."""
    module, name, driver = ADAPTERS[request.param]
    database = f"behaviour_gate_{uuid.uuid4().hex[:8]}"
    server.create_database(database, schema=False)
    kind = getattr(importlib.import_module(module), name)
    auth = make_auth(issuer, request.param, None)
    adapter = kind(server, database, auth, *([driver] if driver else []))
    trusting.upgrade(server, database)
    yield adapter, database
    adapter.close()
    server.drop_database(database)


def test_nothing_runs_until_both_trust_the_same(
    fresh: tuple[Adapter, str],
    server: postgres.Server,
    issuer: ThrowawayIssuer,
    people: People,
) -> None:
    """Each statement is refused and none is sent until the database was told."""
    adapter, database = fresh
    trusting.run(server, database, "SELECT jwtrole.trust('https://x.test/', '{x}')")
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="issuers sync"):
            adapter.add(people.alice, "red-1")

    trusting.trust(server, database, issuer)
    assert adapter.numbers(people.alice) == []
    adapter.add(people.alice, "red-1")
    trusting.run(server, database, "SELECT jwtrole.trust('https://x.test/', '{x}')")
    assert adapter.numbers(people.alice) == ["red-1"]
