"""Issuers without keys, keys without an issuer and strangers' keys let nobody in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.attacks import applications
from tests.database.acting import LOG_IN, Attempt, TrustedIssuer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jwtrole.tokens import JWTRole
    from tests.attacks.applications import Web

over_asgi = applications.over_asgi
over_wsgi = applications.over_wsgi


@pytest.fixture
def auth(issuer: TrustedIssuer) -> JWTRole:
    """Return what trusts the issuer, as the database does."""
    return applications.configured(issuer)


@pytest.fixture(params=["wsgi", "asgi"])
def web(request: pytest.FixtureRequest) -> Web:
    """Return the application behind one middleware after the other."""
    found: Web = request.getfixturevalue(f"over_{request.param}")
    return found


@pytest.fixture
def other(owner: psycopg.Connection) -> Iterator[TrustedIssuer]:
    """Return another issuer that the database trusts."""
    found = TrustedIssuer(owner)
    found.trust()
    yield found
    found.tell("untrust")


def message(attempt: Attempt, token: str) -> str:
    """Return what login() says of a token that it refuses."""
    with pytest.raises(psycopg.Error) as caught, attempt.connection.transaction():
        attempt.run(LOG_IN, arguments=(token,))
    assert caught.value.sqlstate == "JW003"
    return str(caught.value.diag.message_primary)


def test_an_issuer_without_a_key_lets_nobody_in(
    issuer: TrustedIssuer, attempt: Attempt, web: Web
) -> None:
    """Its tokens and tickets are refused, which is a 401 with what to do."""
    token = issuer.mint()
    ticket = attempt.ticket(token)
    assert web.get(token) == (200, "", b"ann")
    issuer.tell("retire_key", "first")

    assert "No key of a trusted issuer" in message(attempt, token)
    assert attempt.resume_refused(ticket) == "JW001"
    assert attempt.nobody
    status, challenge, _ = web.get(token)
    assert status == 401
    assert "have it trust the same issuers and keys as the application" in challenge

    issuer.add_key("first", issuer.secret)
    assert web.get(token) == (200, "", b"ann")


def test_a_key_of_no_issuer_cannot_be_told(
    owner: psycopg.Connection, issuer: TrustedIssuer
) -> None:
    """Keys come after their issuer and go with it."""
    keys = "SELECT count(*) FROM jwtrole.key WHERE issuer = %s"
    jwk = json.dumps({"kty": "oct", "alg": "HS256", "k": "A" * 43})
    with pytest.raises(psycopg.Error, match=r"There is no issuer 'https://slip.test/'"):
        owner.execute("SELECT jwtrole.add_key(%s, %s)", ("https://slip.test/", jwk))
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        owner.execute(
            "UPDATE jwtrole.key SET issuer = 'https://slip.test/' WHERE issuer = %s",
            (issuer.name,),
        )

    assert owner.execute(keys, (issuer.name,)).fetchone() == (1,)
    issuer.tell("untrust")
    assert owner.execute(keys, (issuer.name,)).fetchone() == (0,)


@pytest.fixture
def orphan(
    issuer: TrustedIssuer, superuser: psycopg.Connection
) -> Iterator[TrustedIssuer]:
    """Return an issuer that is gone, whose keys a superuser's mistake has left."""
    with superuser.transaction():
        superuser.execute("SET LOCAL session_replication_role = replica")
        superuser.execute("DELETE FROM jwtrole.issuer WHERE name = %s", (issuer.name,))
    yield issuer
    superuser.execute("DELETE FROM jwtrole.key WHERE issuer = %s", (issuer.name,))


def test_a_key_whose_issuer_is_gone_lets_nobody_in(
    attempt: Attempt, web: Web, request: pytest.FixtureRequest, issuer: TrustedIssuer
) -> None:
    """A signature that is right is not enough: whom it is from must be trusted."""
    token = issuer.mint()
    ticket = attempt.ticket(token)
    assert web.get(token) == (200, "", b"ann")
    request.getfixturevalue("orphan")

    assert message(attempt, token) == (
        "the token is rejected: its issuer is not trusted"
    )
    assert attempt.resume_refused(ticket) == "JW001"
    assert attempt.nobody
    assert web.get(token)[0] == 401


def test_another_issuers_key_signs_for_nobody_else(
    issuer: TrustedIssuer, other: TrustedIssuer, attempt: Attempt
) -> None:
    """Whichever of two issuers a token names, the other's key is no key of it."""
    other.add_key("second", other.secret)
    forged: dict[str, Any] = {
        "its kid, its key": (other.secret, "second"),
        "its kid, our key": (issuer.secret, "second"),
        "the same kid, its key": (other.secret, "first"),
        "no such kid": (issuer.secret, "third"),
    }
    found = {
        kind: message(attempt, issuer.mint(secret=secret, kid=kid))
        for kind, (secret, kid) in forged.items()
    }

    refused = "No key of a trusted issuer, bound to the token's alg and kid, has signed"
    assert set(found.values()) == {f"{refused} the token."}
    assert message(attempt, other.mint(secret=issuer.secret)) in found.values()
    assert attempt.nobody
    assert attempt.log_in(issuer.mint())[0] == "member"
    attempt.end()
    assert attempt.log_in(other.mint(kid="second"))[0] == "member"


def test_roles_of_another_issuer_are_nobodys(
    issuer: TrustedIssuer, other: TrustedIssuer, attempt: Attempt
) -> None:
    """A role that one issuer may give is not for another to give."""
    other.tell("unmap_role", "boss")

    assert attempt.login_refused(other.mint(role="boss")) == "JW005"
    assert attempt.log_in(issuer.mint(role="boss"))[0] == "manager"
