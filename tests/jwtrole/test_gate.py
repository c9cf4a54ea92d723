from __future__ import annotations

import contextlib
import itertools
import uuid
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from jwtrole import Issuer, JWTRole, install
from jwtrole.errors import ConfigurationError
from jwtrole.gate import Gate
from jwtrole.policy import Policy
from jwtrole.testing import ThrowawayIssuer
from tests import postgres, trusting

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jwtrole.begin import Statement

ISSUER = ThrowawayIssuer()
SECRET = "a secret of the tests that is long enough for HS256"


def shared(secret: str = SECRET) -> Issuer:
    """Return an issuer that shares a secret."""
    name = "https://shared.test/"
    return Issuer(name, audience="tests", secret=secret, algorithms=["HS256"])


SHARED = shared()


def make_auth(*issuers: Issuer, **settings: Any) -> JWTRole:
    """Return a configuration that agrees with the database of these tests."""
    given = {"roles": list(postgres.ROLES), "anonymous": "anon", **settings}
    return JWTRole(list(issuers) or [ISSUER.issuer, SHARED], **given)


@pytest.fixture(scope="module")
def place(server: postgres.Server, worker: str) -> Iterator[str]:
    """Return a database that verifies tokens and trusts two issuers."""
    name = f"gate_{worker}"
    server.create_database(name)
    trusting.upgrade(server, name)
    trusting.believe(server, name, make_auth())
    yield name
    server.drop_database(name)


def ask(
    server: postgres.Server, database: str, auth: JWTRole, user: str = postgres.LOGIN
) -> Gate:
    """Have a gate ask a database, and return it once it has passed."""
    gate = Gate(auth)
    with contextlib.closing(server.connect(user, database)) as connection:

        def run(statement: Statement) -> Sequence[Any]:
            text = statement.with_percent().encode()
            row = connection.execute(text, statement.parameters).fetchone()
            assert row is not None
            return row

        gate.ask(run)
    return gate


def refused(*given: Any, **named: Any) -> str:
    """Return what a gate says that does not pass."""
    with pytest.raises(ConfigurationError) as caught:
        ask(*given, **named)
    return str(caught.value)


def test_a_database_that_agrees_is_passed(server: postgres.Server, place: str) -> None:
    """Issuers, audiences, keys, roles and all being the same, nothing is said."""
    gate = Gate(make_auth())
    assert not gate.passed

    assert ask(server, place, make_auth()).passed


def other_keys() -> Issuer:
    """Return the issuer with a key of somebody else."""
    keys = ThrowawayIssuer().jwks
    return Issuer(ISSUER.name, audience="tests", jwks=keys, algorithms=["EdDSA"])


def changed(**settings: Any) -> Issuer:
    """Return the issuer with another setting."""
    given = {"audience": "tests", "jwks": ISSUER.jwks, "algorithms": ["EdDSA"]}
    return Issuer(ISSUER.name, **{**given, **settings})


DIFFERENT = {
    "the database trusts it": make_auth(SHARED),
    "the configuration trusts it": make_auth(
        ISSUER.issuer, SHARED, ThrowawayIssuer("https://new.test/").issuer
    ),
    "another audience": make_auth(changed(audience=["tests", "more"]), SHARED),
    "another leeway": make_auth(changed(leeway=0), SHARED),
    "another role claim": make_auth(role_claim=["realm", "roles"]),
    "other roles": make_auth(roles=["member"]),
    "other keys": make_auth(other_keys(), SHARED),
    "another anonymous role": make_auth(anonymous=None),
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_a_database_that_trusts_something_else_is_refused(
    server: postgres.Server, place: str, what: str
) -> None:
    """Each difference is named, with the command that ends it."""
    said = refused(server, place, DIFFERENT[what])

    assert what in said
    assert said.count("; ") == said.count(what)
    assert "jwtrole issuers sync" in said


def test_shared_secrets_are_not_compared(server: postgres.Server, place: str) -> None:
    """Whoever may ask could try guesses; and what is declared holds no secret."""
    other = make_auth(ISSUER.issuer, shared(SECRET[::-1]))

    assert ask(server, place, other).passed


def test_keys_by_url_are_left_open_but_must_be_there(
    server: postgres.Server, place: str
) -> None:
    """Nothing is fetched to start; an issuer without any key is noticed."""
    settings = {"jwks": None, "jwks_uri": "https://issuer.test/never-fetched.json"}
    by_url = changed(**settings)

    assert ask(server, place, make_auth(by_url, SHARED)).passed
    with server.connect(postgres.OWNER, place) as owner:
        owner.execute("DELETE FROM jwtrole.key WHERE issuer = %s", (ISSUER.name,))
    try:
        assert "has none of its keys" in refused(
            server, place, make_auth(by_url, SHARED)
        )
    finally:
        trusting.believe(server, place, make_auth())


@pytest.fixture(scope="module")
def bypassing(server: postgres.Server) -> Iterator[str]:
    """Return a login that works past row security."""
    name = f"bypassing_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(server.dsn, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {name} LOGIN BYPASSRLS".encode())
        yield name
        admin.execute(f"DROP ROLE {name}".encode())


@pytest.mark.parametrize("trust", ["application", "database"])
def test_a_login_that_no_policy_holds_is_refused(
    server: postgres.Server, place: str, bypassing: str, trust: str
) -> None:
    """Superusers, BYPASSRLS and whoever may become the owner do not begin."""
    auth = make_auth(trust=trust)

    assert "'postgres', which is a superuser" in refused(
        server, place, auth, user="postgres"
    )
    assert "works past row security" in refused(server, place, auth, user=bypassing)
    for user in (postgres.OWNER, postgres.TEST):
        assert "may become the owner" in refused(server, place, auth, user=user)


def test_a_session_that_begins_as_somebody_is_refused(
    server: postgres.Server, place: str
) -> None:
    """A role that somebody set for the login is noticed, and how to end it said."""
    gate = Gate(make_auth())
    with contextlib.closing(server.connect(postgres.LOGIN, place)) as connection:
        connection.execute("SET ROLE manager")

        def run(statement: Statement) -> Sequence[Any]:
            row = connection.execute(statement.sql.encode()).fetchone()
            assert row is not None
            return row

        with pytest.raises(ConfigurationError, match="RESET role") as caught:
            gate.ask(run)

    assert "stood at the role 'manager'" in str(caught.value)
    assert not gate.passed


@pytest.fixture
def empty(server: postgres.Server, worker: str) -> Iterator[str]:
    """Return a database without the schema."""
    name = f"gate_empty_{worker}"
    server.create_database(name, schema=False)
    yield name
    server.drop_database(name)


def test_the_schema_must_be_the_one_that_is_needed(
    server: postgres.Server, empty: str
) -> None:
    """Missing, of the other mode, too old, or closed to the login: each says how on."""
    auth, way = make_auth(), "jwtrole sql --trust database"

    def run(statements: tuple[str, ...]) -> None:
        with server.connect(postgres.OWNER, empty) as owner, owner.transaction():
            for statement in statements:
                owner.execute(statement.encode())

    said = refused(server, empty, auth)
    assert f"is missing: migrate it, or run what `{way} --login app_login`" in said
    run(install.release(1).up())
    said = refused(server, empty, auth)
    assert "takes the application's word for it" in said
    assert f"{way} --from 1 --login app_login" in said
    run(install.change(1, 2) + install.release(2).grants(postgres.LOGIN))
    said = refused(server, empty, auth)
    assert "has version 2 and this release needs 3" in said
    assert f"{way} --from 2 --login app_login" in said
    run(install.change(2, 3))
    assert "may not ask" in refused(server, empty, auth)
    run(install.release(3).grants(postgres.LOGIN))
    assert "the configuration trusts it" in refused(server, empty, auth)


def test_the_application_mode_needs_a_schema_that_believes_it(
    server: postgres.Server, place: str, empty: str
) -> None:
    """Where the database verifies, claims that are pushed would be read by nobody."""
    auth = make_auth(trust="application")

    assert "reads no claims that an application pushes" in refused(server, place, auth)
    assert ask(server, empty, auth).passed


READS = "tenant = pg_catalog.current_setting('app.tenant')"


@pytest.mark.parametrize(
    ("to", "using", "refuses"),
    [
        ("member", READS, True),
        ("PUBLIC", READS, True),
        ("anon", READS, True),
        ("app_test", READS, False),
        ("member", "tenant = jwtrole.claim('tenant_id')", False),
    ],
)
def test_a_policy_that_reads_a_setting_is_refused(
    server: postgres.Server, place: str, to: str, using: str, refuses: bool
) -> None:
    """What injected SQL could change decides over no row that our roles reach."""
    policy = Policy(name="Odd one", table="t", to=(to,), using=using)
    with server.connect(postgres.OWNER, place) as owner:
        owner.execute("CREATE TABLE t (tenant text)")
        for statement in itertools.chain(policy.create()):
            owner.execute(statement.encode())
    try:
        if refuses:
            assert '"Odd one" on t' in refused(server, place, make_auth())
        else:
            assert ask(server, place, make_auth()).passed
    finally:
        with server.connect(postgres.OWNER, place) as owner:
            owner.execute("DROP TABLE t")


def test_a_copy_is_refused_until_its_seal_is_its_own(
    server: postgres.Server, place: str, worker: str
) -> None:
    """A clone of a database says so when an application starts on it."""
    name = f"gate_clone_{worker}"
    with psycopg.connect(server.dsn, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {place}".encode())
    try:
        said = refused(server, name, make_auth())
        assert "is a copy of the one its seal was made for" in said
        assert "jwtrole keys rotate-seal" in said
        trusting.run(server, name, "SELECT jwtrole.rotate_seal()")
        # A copy has the default privileges of a new database.
        assert "may make temporary tables: anon, app_login" in refused(
            server, name, make_auth()
        )
        with psycopg.connect(server.dsn, autocommit=True) as admin:
            admin.execute(f"REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC".encode())
        assert ask(server, name, make_auth()).passed
    finally:
        server.drop_database(name)
