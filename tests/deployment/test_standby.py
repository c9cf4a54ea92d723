"""Everybody on a hot standby: nothing is written, and trust comes with replay."""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING, NamedTuple

import pytest

from jwtrole.errors import ConfigurationError, TokenRejected
from tests import postgres, trusting
from tests.behaviour.opening import DATABASE, configuration, made, opened
from tests.database.acting import Attempt
from tests.deployment.specification import TESTS
from tests.deployment.standby import following

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jwtrole import Identity
    from jwtrole.testing import ThrowawayIssuer
    from tests.behaviour.adapter import Adapter
    from tests.behaviour.opening import People
    from tests.deployment.standby import Standby

#: What the specification says of writing; there is none here.
WRITING = {
    "test_a_foreign_row_cannot_be_changed_or_removed",
    "test_a_foreign_tenant_cannot_be_written",
    "test_a_row_cannot_be_moved_to_another_tenant",
    "test_a_token_without_the_claim_sees_nothing",
    "test_truncate_is_not_granted",
}
#: What it says of a database without rows.
EMPTY = {"test_a_refusal_leaves_the_pool_usable"}

# One specification: the very same tests, by this module's adapters.
globals().update({n: test for n, test in TESTS.items() if n not in WRITING | EMPTY})


class Followed(NamedTuple):
    """Be a database of the primary and an adapter on its standby."""

    which: str
    database: str
    adapter: Adapter


@pytest.fixture(scope="module", params=sorted(DATABASE))
def followed(
    request: pytest.FixtureRequest,
    server: postgres.Server,
    worker: str,
    standby: Standby,
    issuer: ThrowawayIssuer,
    people: People,
) -> Iterator[Followed]:
    """Return one adapter after the other; two red rows and a blue one are replayed."""
    which, anonymous = request.param, postgres.ANONYMOUS
    auth = configuration(issuer, which, anonymous)
    with made(server, worker, which, issuer, anonymous) as database:
        with opened(server, database, which, auth) as primary:
            primary.add(people.alice, "red-1")
            primary.add(people.alice, "red-2")
            primary.add(people.bob, "blue-1")
        standby.catch_up()
        with opened(standby.server, database, which, auth) as adapter:
            yield Followed(which, database, adapter)


@pytest.fixture
def adapter(followed: Followed) -> Adapter:
    """Return the adapter on the standby."""
    return followed.adapter


@pytest.fixture
def filled(adapter: Adapter) -> Adapter:
    """Return the same: its rows come from the primary."""
    return adapter


@pytest.fixture
def strict_adapter(
    followed: Followed, standby: Standby, issuer: ThrowawayIssuer
) -> Iterator[Adapter]:
    """Return an adapter without an anonymous role on the standby."""
    which = followed.which
    auth = configuration(issuer, which, None)
    with opened(standby.server, followed.database, which, auth) as found:
        yield found


@pytest.fixture
def carol(issuer: ThrowawayIssuer, followed: Followed, people: People) -> Identity:
    """Return a member of the red tenant whose token no server has seen."""
    claims = {**people.alice.claims, "sub": "carol", "jti": uuid.uuid4().hex}
    del claims["iat"], claims["exp"]
    return issuer.identity(followed.adapter.auth, **claims)


def test_it_is_a_standby(adapter: Adapter, people: People) -> None:
    """What answers recovers from a primary, and its transactions are read-only."""
    query = "SELECT pg_is_in_recovery(), current_setting('transaction_read_only')"

    assert [tuple(row) for row in adapter.sql(people.alice, query)] == [(True, "on")]


def test_an_identity_never_writes(adapter: Adapter, people: People) -> None:
    """Who may write on the primary is refused here, and reads on."""
    for write in (
        lambda: adapter.add(people.alice, "red-3"),
        lambda: adapter.rename(people.alice, "red-1", "red-9"),
        lambda: adapter.remove(people.alice, "red-1"),
    ):
        with pytest.raises(Exception, match="read-only transaction") as refused:
            write()
        assert adapter.sqlstate(refused.value) == "25006"

    assert adapter.numbers(people.alice) == ["red-1", "red-2"]


def test_login_and_resume_both_happen_here(
    followed: Followed,
    server: postgres.Server,
    standby: Standby,
    people: People,
    carol: Identity,
) -> None:
    """Who has logged in on the standby resumes there; who has not must log in."""
    adapter = followed.adapter
    assert adapter.numbers(people.alice) == ["red-1", "red-2"]
    with trusting.no_logins(server, followed.database):
        standby.catch_up()
        assert adapter.numbers(people.alice) == ["red-1", "red-2"]
        with pytest.raises(ConfigurationError):
            adapter.numbers(carol)
    standby.catch_up()

    assert adapter.numbers(carol) == ["red-1", "red-2"]


def test_who_is_denied_on_the_primary_is_refused_after_replay(
    followed: Followed,
    server: postgres.Server,
    standby: Standby,
    issuer: ThrowawayIssuer,
    people: People,
    carol: Identity,
) -> None:
    """A denial ends token and ticket here as soon as it is replayed, others log in."""
    adapter, database = followed.adapter, followed.database
    assert adapter.numbers(carol) == ["red-1", "red-2"]
    deny = "SELECT jwtrole.deny(%s, 'sub', 'carol')"
    trusting.run(server, database, deny, issuer.name)
    standby.catch_up()

    with pytest.raises(TokenRejected):
        adapter.numbers(carol)
    assert adapter.numbers(people.alice) == ["red-1", "red-2"]

    allow = "SELECT jwtrole.allow(%s, 'sub', 'carol')"
    trusting.run(server, database, allow, issuer.name)
    standby.catch_up()
    assert adapter.numbers(carol) == ["red-1", "red-2"]


@contextlib.contextmanager
def _both(standby: Standby, database: str) -> Iterator[tuple[Attempt, Attempt]]:
    with (
        contextlib.closing(standby.primary.connect(postgres.LOGIN, database)) as here,
        contextlib.closing(standby.server.connect(postgres.LOGIN, database)) as there,
    ):
        yield Attempt(here), Attempt(there)


def test_a_ticket_is_good_on_both(
    followed: Followed, standby: Standby, people: People
) -> None:
    """The primary takes what the standby has handed out, and the other way round."""
    token = people.boss.token
    assert token
    with _both(standby, followed.database) as (primary, replica):
        for giver, taker in ((primary, replica), (replica, primary)):
            assert taker.resume(giver.ticket(token)) == "manager"
            assert taker.value("SELECT jwtrole.claim('sub')") == "boss"
            taker.end()


def test_a_ticket_ends_on_both_when_the_secret_changes(
    followed: Followed, server: postgres.Server, standby: Standby, people: People
) -> None:
    """A rotated secret ends the tickets of a standby with the primary's."""
    token, adapter = people.boss.token, followed.adapter
    assert token
    with _both(standby, followed.database) as (primary, replica):
        ticket = primary.ticket(token)
        trusting.run(server, followed.database, "SELECT jwtrole.rotate_seal()")
        standby.catch_up()
        assert primary.resume_refused(ticket) == "JW001"
        assert replica.resume_refused(ticket) == "JW001"

    assert adapter.numbers(people.boss) == ["red-1", "red-2"]


def test_a_seal_is_good_where_it_was_made_alone(
    followed: Followed, standby: Standby, people: People
) -> None:
    """Settings copied from an open transaction of the primary are worth nothing."""
    token = people.boss.token
    assert token
    names = ("jwtrole.claims", "jwtrole.seal", "role")
    with _both(standby, followed.database) as (primary, replica):
        primary.log_in(token)
        replica.run("BEGIN")
        for name in names:
            value = primary.value("SELECT current_setting(%s)", name)
            replica.value("SELECT set_config(%s, %s, true)", name, value)
        assert primary.sealed
        assert not replica.sealed
        assert replica.refused("SELECT number FROM invoice") == "JW006"


def test_a_promoted_standby_goes_on(
    standby: Standby,
    server: postgres.Server,
    worker: str,
    issuer: ThrowawayIssuer,
    people: People,
) -> None:
    """After a failover tickets of the lost primary are good, and writing is back."""
    which, token = "sqlalchemy-psycopg-database", people.boss.token
    assert token
    auth = configuration(issuer, which, None)
    with made(server, worker, which, issuer, None) as database:
        with contextlib.closing(server.connect(postgres.LOGIN, database)) as before:
            ticket = Attempt(before).ticket(token)
        with following(server) as successor:
            promoted = successor.server
            with promoted.connect("postgres", database) as admin:
                admin.execute("SELECT pg_promote()")
            login = promoted.connect(postgres.LOGIN, database)
            with contextlib.closing(login) as after:
                assert Attempt(after).resume(ticket) == "manager"
            with opened(promoted, database, which, auth) as adapter:
                adapter.add(people.alice, "red-1")
                assert adapter.numbers(people.boss) == ["red-1"]
                assert adapter.numbers(people.bob) == []
