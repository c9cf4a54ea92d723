"""Everybody through PgBouncer in transaction mode, on two backends."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from tests import postgres
from tests.behaviour.opening import DATABASE, configuration, made, opened
from tests.database.acting import LOG_IN
from tests.deployment import bouncer as pgbouncer
from tests.deployment import crowd
from tests.deployment.specification import TESTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from jwtrole import Identity, JWTRole
    from jwtrole.testing import ThrowawayIssuer
    from tests.behaviour.adapter import Adapter
    from tests.behaviour.opening import People
    from tests.deployment.documented import Documented

# One specification: the very same tests, by this module's adapters.
globals().update(TESTS)


def _open(
    server: postgres.Server,
    worker: str,
    bouncer: postgres.Server,
    which: str,
    issuer: ThrowawayIssuer,
    documented: Documented,
    anonymous: str | None,
) -> Iterator[Adapter]:
    auth = configuration(issuer, which, anonymous)
    given = documented.settings(which)
    with (
        made(server, worker, which, issuer, anonymous) as database,
        opened(bouncer, database, which, auth, **given) as adapter,
    ):
        yield adapter


@pytest.fixture(scope="module", params=sorted(DATABASE))
def adapter(
    request: pytest.FixtureRequest,
    server: postgres.Server,
    worker: str,
    bouncer: postgres.Server,
    issuer: ThrowawayIssuer,
    documented: Documented,
) -> Iterator[Adapter]:
    """Return one adapter after the other, through the pooler."""
    which, anonymous = request.param, postgres.ANONYMOUS
    yield from _open(server, worker, bouncer, which, issuer, documented, anonymous)


@pytest.fixture(scope="module", params=sorted(DATABASE))
def strict_adapter(
    request: pytest.FixtureRequest,
    server: postgres.Server,
    worker: str,
    bouncer: postgres.Server,
    issuer: ThrowawayIssuer,
    documented: Documented,
) -> Iterator[Adapter]:
    """Return the same without an anonymous role."""
    which = request.param
    yield from _open(server, worker, bouncer, which, issuer, documented, None)


@pytest.fixture(scope="module", params=sorted(DATABASE))
def behind(
    request: pytest.FixtureRequest,
    server: postgres.Server,
    worker: str,
    issuer: ThrowawayIssuer,
) -> Iterator[tuple[str, str]]:
    """Return the name of one adapter after the other, and a database of its own."""
    with made(server, worker, request.param, issuer, None) as database:
        yield request.param, database


@pytest.fixture
def which(behind: tuple[str, str]) -> str:
    """Return the adapter's name."""
    return behind[0]


@pytest.fixture
def place(server: postgres.Server, behind: tuple[str, str]) -> Iterator[str]:
    """Return its database, emptied afterwards."""
    yield behind[1]
    with server.connect("postgres", behind[1]) as admin:
        admin.execute("TRUNCATE invoice")


@pytest.fixture
def fresh(
    pooler_is_here: None, server: postgres.Server, documented: Documented
) -> Iterator[postgres.Server]:
    """Return the server behind a PgBouncer whose backends nobody has used."""
    settings = {"pool_mode": documented.bouncer["pool_mode"]}
    with pgbouncer.running(server, settings) as found:
        yield found


@pytest.fixture
def mode(issuer: ThrowawayIssuer, which: str) -> JWTRole:
    """Return the configuration of the database mode."""
    return configuration(issuer, which, None)


def test_a_crowd_on_two_backends_sees_no_foreign_row(
    server: postgres.Server,
    bouncer: postgres.Server,
    place: str,
    which: str,
    mode: JWTRole,
    issuer: ThrowawayIssuer,
    documented: Documented,
) -> None:
    """Eight clients as eight identities in turn see their own rows, errors and all."""
    people = crowd.gather(issuer, mode)
    crowd.fill(server, place, people)

    seen = crowd.hunt(bouncer, place, which, mode, people, **documented.settings(which))

    assert seen.wrong == []
    assert seen.transactions == crowd.CLIENTS * crowd.TURNS
    # That is: they did share them.
    assert len(seen.served) == pgbouncer.BACKENDS
    assert min(map(len, seen.served.values())) > 1


def test_what_is_set_for_the_session_is_met_by_others(
    fresh: postgres.Server, place: str
) -> None:
    """The control: one client's session settings are another's, so leaks would show."""
    with _everywhere(fresh, place) as backends:
        for backend in backends:
            backend.execute("SELECT set_config('a.leak', 'seen', false)")
    with fresh.connect(postgres.LOGIN, place) as other:
        assert _value(other, "SELECT current_setting('a.leak', true)") == "seen"


def test_a_client_that_dies_in_the_middle_leaves_nobody(
    fresh: postgres.Server,
    place: str,
    which: str,
    mode: JWTRole,
    people: People,
    documented: Documented,
) -> None:
    """An identity whose client is gone ends with its transaction."""
    for _ in range(2 * pgbouncer.BACKENDS):
        connection = fresh.connect(postgres.LOGIN, place)
        connection.execute("BEGIN")
        connection.execute(LOG_IN, (people.boss.token,))
        connection.close()

    with _everywhere(fresh, place) as backends:
        assert [_state(one) for one in backends] == [_NOBODY] * len(backends)
    given = documented.settings(which)
    with opened(fresh, place, which, mode, **given) as adapter:
        adapter.add(people.bob, "blue-1")
        assert adapter.numbers(people.alice) == []


_NOBODY = ("app_login", "none", "", "", False)
_SETTINGS = ("jwtrole.claims", "jwtrole.seal", "request.jwt.claims")
_POISON = (
    "PREPARE everything AS SELECT number FROM invoice",
    *(f"SELECT set_config('{n}', current_setting('{n}'), false)" for n in _SETTINGS),
    "SET SESSION ROLE manager",
)


def _poison(bouncer: postgres.Server, place: str, who: Identity) -> None:
    """Leave all that somebody's injected SQL can on every backend there is."""
    with _everywhere(bouncer, place) as backends:
        for backend in backends:
            backend.execute(LOG_IN, (who.token,))
            for statement in _POISON:
                backend.execute(statement.encode())


def test_what_injected_sql_leaves_on_a_backend_makes_nobody_of_anybody(
    fresh: postgres.Server,
    place: str,
    which: str,
    mode: JWTRole,
    people: People,
    documented: Documented,
) -> None:
    """Role, claims, seal and statement left behind give nothing to who comes next."""
    given = documented.settings(which)
    with opened(fresh, place, which, mode, **given) as adapter:
        adapter.add(people.bob, "blue-1")
        adapter.add(people.alice, "red-1")
        _poison(fresh, place, people.boss)

        with _everywhere(fresh, place) as backends:
            for backend in backends:
                left = _state(backend)
                assert left[0] == left[1] == "manager"
                assert str(people.boss.claims["tenant_id"]) in left[2]
                assert left[4] is False
        for _ in range(2 * pgbouncer.BACKENDS):
            assert adapter.numbers(people.bob) == ["blue-1"]
            rows = adapter.sql(people.bob, "EXECUTE everything")
            assert [tuple(row) for row in rows] == [("blue-1",)]
            assert adapter.numbers(people.alice) == ["red-1"]


def test_a_pooler_that_resets_leaves_nothing(
    server: postgres.Server,
    pooler_is_here: None,
    place: str,
    which: str,
    mode: JWTRole,
    people: People,
    documented: Documented,
) -> None:
    """With the documented reset not even the harmless outlasts a transaction."""
    given = documented.settings(which)
    with (
        pgbouncer.running(server, documented.bouncer) as resetting,
        opened(resetting, place, which, mode, **given) as adapter,
    ):
        adapter.add(people.bob, "blue-1")
        _poison(resetting, place, people.boss)

        with _everywhere(resetting, place) as backends:
            for backend in backends:
                assert _state(backend) == _NOBODY
                left = "SELECT count(*) FROM pg_prepared_statements"
                assert _value(backend, left) == 0
        assert adapter.numbers(people.bob) == ["blue-1"]
        assert adapter.numbers(people.alice) == []


@contextlib.contextmanager
def _everywhere(
    bouncer: postgres.Server, database: str
) -> Iterator[list[psycopg.Connection]]:
    """Hold every backend of the login's pool in a transaction, committed at the end."""
    with contextlib.ExitStack() as stack:
        found = [
            stack.enter_context(bouncer.connect(postgres.LOGIN, database))
            for _ in range(pgbouncer.BACKENDS)
        ]
        for one in found:
            one.prepare_threshold = None
            one.execute("BEGIN")
        pids = {_value(one, "SELECT pg_backend_pid()") for one in found}
        assert len(pids) == pgbouncer.BACKENDS
        yield found
        for one in found:
            one.execute("COMMIT")


def _state(connection: psycopg.Connection) -> tuple[str, str, str, str, bool]:
    row = connection.execute(
        "SELECT current_user::text, current_setting('role'),"
        " coalesce(current_setting('jwtrole.claims', true), ''),"
        " coalesce(current_setting('request.jwt.claims', true), ''), jwtrole.sealed()"
    ).fetchone()
    assert row is not None
    return row


def _value(connection: psycopg.Connection, query: str) -> object:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]
