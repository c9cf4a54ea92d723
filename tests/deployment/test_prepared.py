"""Prepared statements outlive transactions: each identity gets its own rows of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests import trusting
from tests.behaviour.opening import ADAPTERS, DATABASE, configuration, made, opened
from tests.deployment.documented import PREPARING
from tests.deployment.keeping import keep_prepared

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jwtrole.testing import ThrowawayIssuer
    from tests import postgres
    from tests.behaviour.adapter import Adapter
    from tests.behaviour.opening import People

NUMBERS = "SELECT number FROM invoice ORDER BY number"
RED, BLUE = ["red-1", "red-2"], ["blue-1"]

# Enough for PostgreSQL to settle on a generic plan, which it tries after five.
TURNS = 8

# Managers see all there is, so that the plan of the one role is wrong for the other.
_MANAGERS = (
    "CREATE POLICY invoice_all ON invoice TO manager USING ((SELECT jwtrole.sealed()))"
)


@pytest.fixture(scope="module", params=sorted(DATABASE))
def managed(
    request: pytest.FixtureRequest,
    server: postgres.Server,
    worker: str,
    issuer: ThrowawayIssuer,
    people: People,
) -> Iterator[tuple[str, str]]:
    """Return the name of one adapter after the other, and a database with rows."""
    which = request.param
    auth = configuration(issuer, which, None)
    with made(server, worker, which, issuer, None) as database:
        trusting.run(server, database, _MANAGERS)
        with opened(server, database, which, auth) as adapter:
            for number in RED:
                adapter.add(people.alice, number)
            adapter.add(people.bob, *BLUE)
        yield which, database


@pytest.fixture
def which(managed: tuple[str, str]) -> str:
    """Return the adapter's name."""
    return managed[0]


@pytest.fixture
def preparing(
    server: postgres.Server, managed: tuple[str, str], issuer: ThrowawayIssuer
) -> Iterator[Adapter]:
    """Return the adapter, on a session of its own whose driver prepares."""
    which, database = managed
    given = PREPARING[ADAPTERS[which][2]]
    auth = configuration(issuer, which, None)
    with opened(server, database, which, auth, **given) as adapter:
        yield adapter


def _read(adapter: Adapter, who: Any, statement: str = NUMBERS) -> list[str]:
    return [number for (number,) in adapter.sql(who, statement)]


def _turns(people: People) -> list[tuple[Any, list[str]]]:
    return [
        (people.alice, RED),
        (people.boss, sorted(BLUE + RED)),
        (people.bob, BLUE),
    ] * TURNS


def test_one_statement_of_the_driver_would_serve_everybody(
    preparing: Adapter, which: str, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were it kept, it would show each identity and role its own rows all the same."""
    keep_prepared(monkeypatch)
    for who, numbers in _turns(people):
        assert _read(preparing, who) == numbers

    kept = preparing.unhooked(
        "SELECT generic_plans + custom_plans FROM pg_prepared_statements"
        f" WHERE statement = '{NUMBERS}'"
    )
    never = ADAPTERS[which][2] == "psycopg2"
    assert [tuple(row) for row in kept] == ([] if never else [(3 * TURNS,)])


def test_a_statement_that_was_left_behind_serves_everybody(
    preparing: Adapter, people: People
) -> None:
    """PREPARE under a stronger identity, with its plan, gives nobody its rows."""
    preparing.sql(people.boss, f"PREPARE mine AS {NUMBERS}")
    for _ in range(TURNS):
        assert _read(preparing, people.boss, "EXECUTE mine") == sorted(BLUE + RED)

    for who, numbers in _turns(people):
        assert _read(preparing, who, "EXECUTE mine") == numbers


def test_a_generic_plan_that_was_left_behind_serves_everybody(
    preparing: Adapter, people: People
) -> None:
    """A plan that is forced to be kept is made anew for another role."""
    preparing.sql(
        people.boss,
        "SET SESSION plan_cache_mode = force_generic_plan",
        f"PREPARE mine AS {NUMBERS}",
        "EXECUTE mine",
    )

    for who, numbers in _turns(people):
        assert _read(preparing, who, "EXECUTE mine") == numbers


def test_outside_any_identity_a_statement_that_was_left_behind_is_refused(
    preparing: Adapter, people: People
) -> None:
    """The bare login may execute it and see nothing: the table is closed to it."""
    preparing.sql(people.boss, f"PREPARE mine AS {NUMBERS}", "EXECUTE mine")

    with pytest.raises(Exception, match="permission denied") as refused:
        preparing.unhooked("EXECUTE mine")
    assert preparing.sqlstate(refused.value) == "42501"
