"""A clock that is set back, the application's or the server's, opens nothing."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy as sa

from jwtrole.context import acting_as
from jwtrole.errors import TokenRejected
from sqlalchemy_jwtrole import attach, begin
from tests import postgres, trusting
from tests.attacks import applications
from tests.database.acting import LOG_IN, Attempt, TrustedIssuer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jwtrole.tickets import Tickets
    from jwtrole.tokens import JWTRole
    from tests.attacks.applications import Web

over_asgi = applications.over_asgi
over_wsgi = applications.over_wsgi

HOUR = 3600
WHO = sa.text(applications.WHO)


class Clock:
    """Be a clock that can be set; it goes on from there."""

    def __init__(self) -> None:
        self.set_by = 0.0

    def __call__(self) -> float:
        """Return seconds since the epoch."""
        return time.time() + self.set_by


@pytest.fixture
def clock() -> Clock:
    """Return the application's clock."""
    return Clock()


@pytest.fixture
def auth(issuer: TrustedIssuer, clock: Clock) -> JWTRole:
    """Return what verifies tokens by that clock."""
    return applications.configured(issuer, clock=clock)


@pytest.fixture(params=["wsgi", "asgi"])
def web(request: pytest.FixtureRequest) -> Web:
    """Return an application behind one middleware after the other."""
    found: Web = request.getfixturevalue(f"over_{request.param}")
    return found


@pytest.fixture
def engine(
    server: postgres.Server, sealed_database: str, auth: JWTRole
) -> Iterator[sa.Engine]:
    """Return an attached engine."""
    url = server.url("psycopg", postgres.LOGIN, sealed_database)
    engine = attach(sa.create_engine(url), auth)
    yield engine
    engine.dispose()


@pytest.fixture
def tickets(engine: sa.Engine) -> Tickets:
    """Return the tickets that the engine keeps."""
    found = begin._guards[engine].tickets
    assert found is not None
    return found


def who(engine: sa.Engine) -> str:
    """Return who is acting, in a transaction of its own."""
    with engine.connect() as conn:
        return str(conn.scalar(WHO))


@pytest.mark.parametrize("known", [True, False], ids=["remembered", "new"])
def test_the_applications_clock_may_step_back(
    web: Web, clock: Clock, issuer: TrustedIssuer, *, known: bool
) -> None:
    """Tokens that are of the future then are 401s that name the clocks, for a while."""
    token = issuer.mint()
    if known:
        assert web.get(token)[0] == 200
    before = web.taken
    clock.set_by = -HOUR

    status, challenge, _ = web.get(token)

    assert status == 401
    assert "The token is not valid yet: compare the clocks" in challenge
    assert web.taken == before
    clock.set_by = 0
    assert web.get(token) == (200, "", b"ann")


def test_a_ticket_that_seems_to_last_costs_one_login(
    engine: sa.Engine,
    tickets: Tickets,
    auth: JWTRole,
    issuer: TrustedIssuer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where the client's clock is behind, the server's says when a ticket is over."""
    issuer.trust_again(max_ticket=1)
    identity = auth.verify(issuer.mint())
    with acting_as(identity):
        assert who(engine) == "ann"
        behind = SimpleNamespace(time=lambda: time.time() - HOUR)
        monkeypatch.setattr("jwtrole.tickets.time", behind)
        monkeypatch.setattr("jwtrole.begin.time", behind)
        old = tickets.get(identity)
        time.sleep(1.01)
        assert old is not None
        assert tickets.get(identity) == old

        assert who(engine) == "ann"

        assert tickets.get(identity) not in {None, old}


@pytest.mark.parametrize("name", ["iat", "nbf"])
def test_the_servers_clock_may_step_back(
    engine: sa.Engine,
    clock: Clock,
    auth: JWTRole,
    attempt: Attempt,
    issuer: TrustedIssuer,
    name: str,
) -> None:
    """To a server that is behind a new token is of the future: it says so."""
    token = issuer.mint(
        **{"exp": int(time.time()) + 2 * HOUR, name: time.time() + HOUR}
    )
    clock.set_by = HOUR

    with acting_as(auth.verify(token)), pytest.raises(TokenRejected) as caught:
        who(engine)
    with pytest.raises(psycopg.Error) as refused, attempt.connection.transaction():
        attempt.run(LOG_IN, arguments=(token,))

    assert "compare their clocks" in str(caught.value)
    assert token not in trusting.everything_said(caught.value)
    assert refused.value.sqlstate == "JW003"
    assert "it is not valid yet" in str(refused.value)
    assert attempt.nobody


def ticket_of(owner: psycopg.Connection, issuer: TrustedIssuer, **given: Any) -> str:
    """Return the ticket that a server whose clock is wrong would hand out."""
    claims = {"iss": issuer.name, "sub": "ann", "role": "member", "tenant": 7}
    head = [given["until"], given["ends"], "member", issuer.name, issuer.generation]
    body = f"{json.dumps(head)}\n{json.dumps(claims)}"
    row = owner.execute(
        "SELECT jwtrole._ticket_with(h.ipad, h.opad, h.installation, %s)"
        " FROM jwtrole._home AS h",
        (body,),
    ).fetchone()
    assert row is not None
    return f"{row[0]}{body}"


def test_a_ticket_from_the_future_costs_one_login(
    owner: psycopg.Connection, attempt: Attempt, issuer: TrustedIssuer
) -> None:
    """Made before the clock was set back it is refused: none outlasts max_ticket."""
    now = int(time.time())
    ticket = ticket_of(owner, issuer, until=now + HOUR, ends=now + 2 * HOUR)

    assert attempt.resume_refused(ticket) == "JW001"
    assert attempt.nobody


def test_a_ticket_may_seem_to_be_ahead_by_the_leeway(
    owner: psycopg.Connection, attempt: Attempt, issuer: TrustedIssuer
) -> None:
    """A replica's clock may differ a little; every change of trust ends the ticket."""
    now = int(time.time())
    ticket = ticket_of(owner, issuer, until=now + 310, ends=now + 2 * HOUR)

    assert attempt.resume(ticket) == "member"
    assert attempt.value("SELECT jwtrole.subject()") == "ann"
    attempt.end()
    issuer.tell("deny", "sub", "somebody")

    assert attempt.resume_refused(ticket) == "JW001"
    assert attempt.nobody


def test_a_ticket_cannot_be_made_to_last(
    owner: psycopg.Connection, attempt: Attempt, issuer: TrustedIssuer
) -> None:
    """Its times are sealed with it: one that is over stays over."""
    now = int(time.time())
    over = ticket_of(owner, issuer, until=now - 1, ends=now + HOUR)
    assert attempt.resume_refused(over) == "JW002"

    for when in (now + HOUR, now + 299):
        longer = over.replace(str(now - 1), str(when))
        assert longer != over
        assert attempt.resume_refused(longer) == "JW001"
    assert attempt.nobody


def test_claims_end_with_the_token_whatever_the_ticket_says(
    owner: psycopg.Connection, attempt: Attempt, issuer: TrustedIssuer
) -> None:
    """A ticket that outlasts its token, as no server hands out, reads no claim."""
    now = int(time.time())
    ticket = ticket_of(owner, issuer, until=now + 200, ends=now - 1)
    attempt.resume(ticket)

    assert attempt.sealed is False
    assert attempt.refused("SELECT jwtrole.claim('sub')") == "JW004"
