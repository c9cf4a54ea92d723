"""Tokens that are too long, too many or no tokens cost little and open nothing."""

from __future__ import annotations

import gc
import random
import tracemalloc
from typing import TYPE_CHECKING

import psycopg
import pytest
import sqlalchemy as sa

from jwtrole.context import acting_as
from jwtrole.errors import TokenRejected
from jwtrole.identity import Identity
from jwtrole.tokens import Issuer
from sqlalchemy_jwtrole import attach
from tests import postgres, trusting
from tests.attacks import applications
from tests.database.acting import AUDIENCE, LOG_IN, RESUME, Attempt, TrustedIssuer
from tests.jwtrole.jwks_server import JWKSServer, serving
from tests.jwtrole.making import part, public_jwk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jwtrole.tokens import JWTRole
    from tests.attacks.applications import Web


MEGABYTE = 1_000_000
JUNK = 10_000
REMOTE = "https://remote.test/"
WHO = sa.text(applications.WHO)

over_asgi = applications.over_asgi
over_django = applications.over_django
over_wsgi = applications.over_wsgi


@pytest.fixture
def published() -> Iterator[JWKSServer]:
    """Return an issuer's keys on a server that counts who asks for them."""
    with serving(public_jwk("EdDSA", kid="first")) as server:
        yield server


@pytest.fixture
def auth(issuer: TrustedIssuer, published: JWKSServer) -> Iterator[JWTRole]:
    """Return what trusts an issuer with a secret and one that publishes its keys."""
    remote = Issuer(
        REMOTE,
        audience=AUDIENCE,
        jwks_uri=published.url,
        algorithms=["EdDSA"],
        clock=lambda: 0.0,
    )
    yield applications.configured(issuer, remote)
    issuer.owner.execute("SELECT jwtrole.untrust(%s)", (REMOTE,))


@pytest.fixture(params=["wsgi", "asgi", "django"])
def web(request: pytest.FixtureRequest) -> Web:
    """Return the application behind one middleware after the other."""
    found: Web = request.getfixturevalue(f"over_{request.param}")
    return found


def long_tokens(issuer: TrustedIssuer) -> dict[str, str]:
    """Return tokens of a megabyte and more, the last of them rightly signed."""
    return {
        "letters": "A" * MEGABYTE,
        "dots": "." * MEGABYTE,
        "many parts": "e30." * (MEGABYTE // 4) + "e30",
        "three parts": ".".join(["A" * (MEGABYTE // 3)] * 3),
        "signed": issuer.mint(filler="x" * MEGABYTE),
    }


KINDS = ["letters", "dots", "many parts", "three parts", "signed"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_of_a_megabyte_is_a_401(
    web: Web, issuer: TrustedIssuer, kind: str
) -> None:
    """Told its limit, the client gets a 401; no memory, no connection goes with it."""
    token = long_tokens(issuer)[kind]
    tracemalloc.start()
    status, challenge, body = web.get(token)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert status == 401
    assert 'error="invalid_token"' in challenge
    assert "The token is over 16384 bytes" in challenge
    assert len(challenge) + len(body) < 1000
    # A header is copied a few times on its way; nothing grows with what is in it.
    assert peak < 8 * len(token)
    assert (web.taken, web.remembered) == (0, 0)


def junk(issuer: TrustedIssuer) -> Iterator[str]:
    """Return ten kinds of what is no good token, none of them twice."""
    rng = random.Random(10_000)
    payload = {"iss": REMOTE, "aud": AUDIENCE, "exp": 4_000_000_000, "role": "member"}
    for n in range(JUNK // 10):
        yield rng.randbytes(60).hex()
        yield ".".join(part(rng.randbytes(40)) for _ in range(3))
        yield issuer.mint(secret=rng.randbytes(64), jti=str(n))
        yield issuer.mint(exp=1_000_000_000 + n)
        yield issuer.mint(iss=f"https://stranger-{n}.test/")
        yield issuer.mint(aud=f"other-{n}")
        yield f"{part({'alg': 'none'})}.{part({**payload, 'jti': str(n)})}."
        yield f"{part({'alg': 'HS256'})}.{part(b'[' * (5000 + n))}.{part(b'x')}"
        yield (
            f"{part({'alg': 'EdDSA', 'kid': f'unknown-{n}'})}.{part(payload)}"
            f".{part(rng.randbytes(64))}"
        )
        yield "A" * (17 * 1024 + n)


def test_ten_thousand_junk_tokens_are_401s(
    web: Web, auth: JWTRole, issuer: TrustedIssuer, published: JWKSServer
) -> None:
    """None of them takes a connection or room in memory, and a good one still works."""
    tokens = list(junk(issuer))
    assert len(set(tokens)) == JUNK
    first = [web.get(token)[0] for token in tokens[:20]]
    gc.collect()
    objects = len(gc.get_objects())

    statuses = [web.get(token)[0] for token in tokens[20:]]

    gc.collect()
    assert set(first + statuses) == {401}
    assert len(gc.get_objects()) - objects < 500
    assert (web.taken, web.remembered) == (0, 0)
    # Once when the database was told of the keys, once for the first unknown one.
    assert published.count == (2 if web.auth is auth else 1)

    assert web.get(issuer.mint()) == (200, "", b"ann")
    assert (web.taken, web.remembered) == (1, 1)


@pytest.fixture
def hurried(attempt: Attempt) -> Attempt:
    """Return the application's connection, where no statement may take long."""
    attempt.run("SET statement_timeout = '5s'")
    return attempt


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["auto", "force_custom_plan", "force_generic_plan"])
def test_login_refuses_a_token_of_a_megabyte(
    issuer: TrustedIssuer, hurried: Attempt, mode: str, kind: str
) -> None:
    """Sent past the application it is refused for its length, however it is planned."""
    hurried.run(f"SET plan_cache_mode = {mode}")
    token = long_tokens(issuer)[kind]

    for _ in range(7):
        assert hurried.login_refused(token) == "JW003"

    message = said(hurried, LOG_IN, token)
    assert "at most 16384 bytes" in message
    assert len(message) < 2000
    assert hurried.nobody


def said(attempt: Attempt, statement: str, given: str) -> str:
    """Return all that the error of a statement says."""
    with pytest.raises(psycopg.Error) as caught, attempt.connection.transaction():
        attempt.run(statement, arguments=(given,))
    return f"{trusting.everything_said(caught.value)} {caught.value.diag.context}"


def test_a_ticket_of_a_megabyte_is_refused(
    issuer: TrustedIssuer, hurried: Attempt
) -> None:
    """A ticket that is too long is none, however it begins."""
    ticket = hurried.ticket(issuer.mint())

    for long in ("0" * MEGABYTE, ticket + " " * MEGABYTE, ticket + "\n" * MEGABYTE):
        assert hurried.resume_refused(long) == "JW001"
        assert len(said(hurried, RESUME, long)) < 2000
    assert hurried.resume(ticket) == "member"


def at_the_limit(issuer: TrustedIssuer) -> dict[str, str]:
    """Return junk that is as long as what is read at all."""
    head = part({"alg": "HS256", "kid": "first"})
    room = (16 * 1024 - len(head) - 50) // 4 * 3

    def token(body: bytes) -> str:
        return f"{head}.{part(body[:room])}.{part(b'0' * 32)}"

    return {
        "letters": "A" * 16_384,
        "dots": "." * 16_384,
        "almost base64": "AAAA" * 4_000 + ".!",
        "brackets": token(b"[" * room),
        "braces": token(b'{"a":' * (room // 5)),
        "quotes": token(b'"' * room),
        "backslashes": token(b'"' + b"\\" * room),
        "digits": token(b'{"exp":' + b"9" * room),
        "exponents": token(b"[" + b"9e9," * (room // 4)),
        "names": token(b"{" + b",".join(b'"%d":0' % n for n in range(1500)) + b"}"),
        "one name": token(b"{" + b",".join([b'"a":0'] * 1900) + b"}"),
        "roles": issuer.mint(role=["nobody"] * 1000),
        "audiences": issuer.mint(aud=["nobody"] * 1000),
    }


def test_login_refuses_the_longest_junk_quickly(
    issuer: TrustedIssuer, hurried: Attempt
) -> None:
    """Nothing within the limit keeps the server busy, be it a token or a ticket."""
    tokens = at_the_limit(issuer)
    assert {4_000 < len(token) <= 16_384 for token in tokens.values()} == {True}
    expected = dict.fromkeys(tokens, "JW003") | {"roles": "JW005"}

    found = {kind: hurried.login_refused(token) for kind, token in tokens.items()}

    assert found == expected
    assert {hurried.resume_refused(token) for token in tokens.values()} == {"JW001"}
    assert hurried.nobody


def test_the_longest_good_token_is_let_in(
    issuer: TrustedIssuer, hurried: Attempt, auth: JWTRole
) -> None:
    """The control: what is refused for its length is no good one."""
    room = 16 * 1024 - len(issuer.mint(filler=""))
    token = issuer.mint(filler="x" * (room * 3 // 4 - 3))
    assert 16_370 < len(token) <= 16_384

    assert auth.verify(token).role == "member"
    assert hurried.log_in(token)[0] == "member"


def test_a_refused_token_leaves_nothing_on_the_server(
    issuer: TrustedIssuer, superuser: psycopg.Connection
) -> None:
    """After many refusals a backend holds no more memory than after a few."""
    held = "SELECT sum(total_bytes) FROM pg_backend_memory_contexts"
    connection = Attempt(superuser)
    sizes = []
    for _ in range(2):
        for token in [*long_tokens(issuer).values(), "a.b.c"] * 10:
            assert connection.login_refused(token) == "JW003"
        sizes.append(connection.value(held))

    assert sizes[1] - sizes[0] < MEGABYTE


def test_an_identity_with_a_token_of_a_megabyte_is_refused(
    server: postgres.Server, sealed_database: str, auth: JWTRole, issuer: TrustedIssuer
) -> None:
    """Past the verification in Python the error is ours and holds none of the token."""
    url = server.url("psycopg", postgres.LOGIN, sealed_database)
    engine = attach(sa.create_engine(url), auth)
    token = long_tokens(issuer)["signed"]
    with (
        acting_as(Identity("member", {"sub": "ann"}, token=token)),
        pytest.raises(TokenRejected) as caught,
        engine.connect() as conn,
    ):
        conn.scalar(WHO)
    engine.dispose()

    assert len(trusting.everything_said(caught.value)) < 2000
