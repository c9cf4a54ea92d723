"""What injected SQL leaves on a session for others, and what takes it away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests import trusting
from tests.behaviour.opening import ADAPTERS, DATABASE, configuration, made, opened
from tests.deployment.documented import PREPARING
from tests.deployment.keeping import keep_prepared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from jwtrole.testing import ThrowawayIssuer
    from tests import postgres
    from tests.behaviour.adapter import Adapter
    from tests.behaviour.opening import People
    from tests.deployment.documented import Documented

    Open = Callable[..., AbstractContextManager[Adapter]]

NUMBERS = "SELECT number FROM invoice ORDER BY number"

_SHADOW = (
    "CREATE TEMP TABLE invoice (LIKE invoice INCLUDING DEFAULTS)",
    "GRANT ALL ON pg_temp.invoice TO PUBLIC",
)
_SWAP = f"""DO $do$
DECLARE
    found text;
BEGIN
    FOR found IN
        SELECT quote_ident(name) FROM pg_prepared_statements
        WHERE statement = '{NUMBERS}'
    LOOP
        EXECUTE 'DEALLOCATE ' || found;
        EXECUTE 'PREPARE ' || found || ' AS SELECT ''as '' || jwtrole.subject()';
    END LOOP;
END
$do$"""


@pytest.fixture(scope="module", params=sorted(DATABASE))
def place(
    request: pytest.FixtureRequest,
    server: postgres.Server,
    worker: str,
    issuer: ThrowawayIssuer,
) -> Iterator[tuple[str, str]]:
    """Return the name of one adapter after the other, and a database of its own."""
    with made(server, worker, request.param, issuer, None) as database:
        yield request.param, database


@pytest.fixture
def session(
    server: postgres.Server, place: tuple[str, str], issuer: ThrowawayIssuer
) -> Iterator[Open]:
    """Return what opens the adapter on a session of its own; rows go in the end."""
    which, database = place
    auth = configuration(issuer, which, None)
    yield lambda **given: opened(server, database, which, auth, **given)
    with server.connect("postgres", database) as admin:
        admin.execute("TRUNCATE invoice")


def _read(adapter: Adapter, who: Any) -> list[str]:
    return [number for (number,) in adapter.sql(who, NUMBERS)]


def test_a_temporary_table_stands_before_the_real_one(
    session: Open, server: postgres.Server, place: tuple[str, str], people: People
) -> None:
    """The control: where everybody may make one, it takes the next identity's rows."""
    given = f"TEMPORARY ON DATABASE {place[1]}"
    with session() as adapter:
        assert _read(adapter, people.alice) == []
        trusting.run(server, place[1], f"GRANT {given} TO PUBLIC")
        adapter.sql(people.alice, *_SHADOW)
        adapter.add(people.bob, "blue-1")
        trusting.run(server, place[1], f"REVOKE {given} FROM PUBLIC")

        assert _read(adapter, people.alice) == ["blue-1"]


def test_nobody_may_make_a_temporary_table(session: Open, people: People) -> None:
    """The schema takes that right from everybody when it is installed."""
    with session() as adapter:
        with pytest.raises(Exception, match="permission denied") as refused:
            adapter.sql(people.alice, *_SHADOW)
        adapter.add(people.bob, "blue-1")

        assert adapter.sqlstate(refused.value) == "42501"
        assert _read(adapter, people.alice) == []
        assert _read(adapter, people.bob) == ["blue-1"]


def test_no_statement_that_a_driver_keeps_serves_another_identity(
    session: Open, place: tuple[str, str], people: People
) -> None:
    """Whatever the driver is told, what stands in its place is never run."""
    with session(**PREPARING[ADAPTERS[place[0]][2]]) as adapter:
        adapter.add(people.bob, "blue-1")
        for _ in range(2):
            assert _read(adapter, people.bob) == ["blue-1"]
        adapter.sql(people.alice, _SWAP)

        assert _read(adapter, people.bob) == ["blue-1"]


def test_a_statement_that_the_driver_keeps_can_be_swapped(
    session: Open,
    place: tuple[str, str],
    people: People,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The control: were it kept, it would run as the next identity."""
    driver = ADAPTERS[place[0]][2]
    keep_prepared(monkeypatch)
    with session(**PREPARING[driver]) as adapter:
        adapter.add(people.bob, "blue-1")
        for _ in range(2):
            assert _read(adapter, people.bob) == ["blue-1"]
        adapter.sql(people.alice, _SWAP)

        kept = driver != "psycopg2"
        assert _read(adapter, people.bob) == (["as bob"] if kept else ["blue-1"])


def test_with_the_documented_settings_no_statement_is_kept(
    session: Open, place: tuple[str, str], documented: Documented, people: People
) -> None:
    """Where the driver keeps none, there is none that could be swapped."""
    with session(**documented.settings(place[0])) as adapter:
        adapter.add(people.bob, "blue-1")
        for _ in range(8):
            assert _read(adapter, people.bob) == ["blue-1"]
            assert adapter.numbers(people.bob) == ["blue-1"]
        adapter.sql(people.alice, _SWAP)

        (row,) = adapter.unhooked("SELECT count(*) FROM pg_prepared_statements")
        assert tuple(row) == (0,)
        assert _read(adapter, people.bob) == ["blue-1"]
