"""No application begins on a database that does not agree with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jwtrole.errors import ConfigurationError
from tests import trusting
from tests.behaviour.opening import DATABASE, configuration, made, opened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jwtrole.testing import ThrowawayIssuer
    from tests import postgres
    from tests.behaviour.adapter import Adapter
    from tests.behaviour.opening import People

STRANGER = "SELECT jwtrole.trust('https://stranger.test/', '{strangers}')"


@pytest.fixture(params=sorted(DATABASE))
def fresh(
    request: pytest.FixtureRequest,
    server: postgres.Server,
    worker: str,
    issuer: ThrowawayIssuer,
) -> Iterator[tuple[Adapter, str]]:
    """Return an adapter that has sent nothing yet, and its database."""
    auth = configuration(issuer, request.param, None)
    with (
        made(server, worker, request.param, issuer, None) as database,
        opened(server, database, request.param, auth) as adapter,
    ):
        yield adapter, database


def test_nothing_runs_until_both_trust_the_same(
    fresh: tuple[Adapter, str],
    server: postgres.Server,
    issuer: ThrowawayIssuer,
    people: People,
) -> None:
    """Each statement is refused and none is sent until the database was told."""
    adapter, database = fresh
    trusting.run(server, database, STRANGER)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="issuers sync"):
            adapter.add(people.alice, "red-1")

    trusting.trust(server, database, issuer)
    assert adapter.numbers(people.alice) == []
    adapter.add(people.alice, "red-1")
    trusting.run(server, database, STRANGER)
    assert adapter.numbers(people.alice) == ["red-1"]
