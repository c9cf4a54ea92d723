"""The server's log, told to hold everything, holds neither token, ticket nor claim."""

from __future__ import annotations

import contextlib
import time
import uuid
from typing import TYPE_CHECKING, Protocol

import pytest
import sqlalchemy as sa
from django.db import connections, transaction
from django.db.utils import Error as DjangoError
from sqlalchemy.exc import DBAPIError

from django_jwtrole.postgresql import base
from jwtrole.context import acting_as
from jwtrole.errors import TokenRejected
from jwtrole.testing import ThrowawayIssuer
from jwtrole.tokens import JWTRole
from tests import postgres, trusting
from tests.django_project.aliases import forget, register
from tests.sqlalchemy_jwtrole.attached import Attached
from tests.sqlalchemy_jwtrole.conftest import make_notes

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from jwtrole.identity import Identity
    from jwtrole.tickets import Tickets

DATABASE = "logged"
END = "SELECT 'that is all'"
READ = "SELECT body FROM note ORDER BY body"
WRITE = "INSERT INTO note (body) VALUES ('new')"
BROKEN = "SELECT 1 / 0"
FOREIGN = "INSERT INTO note (tenant_id, body) VALUES (gen_random_uuid(), 'foreign')"

#: Each adapter, with each of its drivers that binds.
BINDING = ("psycopg", "async-psycopg", "asyncpg", "django")
#: Those that write parameters into the text of the query.
INTERPOLATING = ("psycopg2", "psycopg-client", "async-client")
QUIET = f"ALTER ROLE {postgres.LOGIN} SET log_parameter_max_length = 0"
LOUD = f"ALTER ROLE {postgres.LOGIN} RESET log_parameter_max_length"


@pytest.fixture(scope="module")
def own(pytestconfig: pytest.Config) -> Iterator[postgres.Server]:
    """Return a server of these tests alone, which changes its roles' settings."""
    server = postgres.start(pytestconfig.getoption("--postgres"))
    with server.connect("postgres", "postgres") as admin:
        admin.execute("ALTER SYSTEM SET log_line_prefix = '%a '")
        admin.execute("SELECT pg_reload_conf()")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def issuer() -> ThrowawayIssuer:
    """Return who issues the tokens."""
    return ThrowawayIssuer()


@pytest.fixture(scope="module")
def verifying(own: postgres.Server, issuer: ThrowawayIssuer) -> str:
    """Return a database that verifies tokens, with a protected table."""
    own.create_database(DATABASE)
    make_notes(own, DATABASE)
    trusting.upgrade(own, DATABASE)
    trusting.trust(own, DATABASE, issuer)
    return DATABASE


class Log:
    """Be what the server logs from now on.

    Args:
        server: The server.
    """

    def __init__(self, server: postgres.Server) -> None:
        assert server.log is not None
        self._path = server.log
        self._begin = self._path.stat().st_size

    def read(self) -> str:
        """Return it, once the last statement is in it."""
        for _ in range(500):
            with self._path.open("rb") as file:
                file.seek(self._begin)
                text = file.read().decode()
            if END in text:
                return text
            time.sleep(0.01)
        pytest.fail("the log does not end")


@pytest.fixture
def everything(own: postgres.Server, verifying: str) -> Iterator[psycopg.Connection]:
    """Have the server log all that the login does; return a superuser's connection."""
    settings = {
        "log_statement": "'all'",
        "log_min_duration_statement": "0",
        "log_error_verbosity": "'verbose'",
    }
    with contextlib.closing(own.connect("postgres", verifying)) as admin:
        for name, value in settings.items():
            alter = f"ALTER ROLE {postgres.LOGIN} SET {name} = {value}"
            admin.execute(alter.encode())
        yield admin
        for name in settings:
            admin.execute(f"ALTER ROLE {postgres.LOGIN} RESET {name}".encode())


class Adapter(Protocol):
    """Run statements as somebody, each in a transaction of its own."""

    def run(self, who: Identity, statement: str, *, fails: bool = False) -> None:
        """Run a statement."""

    @property
    def tickets(self) -> Tickets:
        """Return the tickets it keeps."""

    def close(self) -> None:
        """Close its connection."""


class WithSQLAlchemy:
    """Be an engine with one connection of one driver."""

    def __init__(
        self, server: postgres.Server, database: str, driver: str, auth: JWTRole
    ) -> None:
        self._attached = Attached(server, database, driver, auth)

    def run(self, who: Identity, statement: str, *, fails: bool = False) -> None:
        """Run a statement."""

        def work(conn: sa.Connection) -> None:
            with pytest.raises(DBAPIError) if fails else contextlib.nullcontext():
                conn.execute(sa.text(statement))
                conn.commit()

        self._attached.run(who, work)

    @property
    def tickets(self) -> Tickets:
        """Return the tickets of the engine."""
        return self._attached.tickets

    def close(self) -> None:
        """Close the connection."""
        self._attached.close()


class WithDjango:
    """Be an alias of Django's."""

    def __init__(self, server: postgres.Server, database: str, auth: JWTRole) -> None:
        base._tickets.clear()
        self._alias = register(server, database, auth)
        self._atomic = False

    def run(self, who: Identity, statement: str, *, fails: bool = False) -> None:
        """Run a statement, every other time outside any atomic()."""
        self._atomic = not self._atomic
        with (
            acting_as(who),
            pytest.raises(DjangoError) if fails else contextlib.nullcontext(),
            transaction.atomic(using=self._alias)
            if self._atomic
            else contextlib.nullcontext(),
            connections[self._alias].cursor() as cursor,
        ):
            cursor.execute(statement)

    @property
    def tickets(self) -> Tickets:
        """Return the tickets of the process."""
        found = connections[self._alias]._tickets()
        assert found is not None
        return found

    def close(self) -> None:
        """Close the connection."""
        forget(self._alias)


def adapter(
    server: postgres.Server, which: str, auth: JWTRole, database: str = DATABASE
) -> Adapter:
    """Return an adapter whose session is yet to read its role's settings."""
    if which == "django":
        return WithDjango(server, database, auth)
    return WithSQLAlchemy(server, database, which, auth)


def somebody(issuer: ThrowawayIssuer, auth: JWTRole) -> Identity:
    """Return a member whose claims stand nowhere else."""
    return issuer.identity(
        auth,
        sub=f"sub-{uuid.uuid4()}",
        role="member",
        tenant_id=str(uuid.uuid4()),
        email=f"{uuid.uuid4()}@example.com",
    )


def everyday(used: Adapter, who: Identity) -> None:
    """Log in, read and write by policies, fail in three ways, and end."""
    for statement in (READ, WRITE, READ):
        used.run(who, statement)
    for statement in (BROKEN, FOREIGN):
        used.run(who, statement, fails=True)
    used.run(who, "DELETE FROM note")
    used.run(who, END)


def secrets(who: Identity, *tickets: str) -> list[str]:
    """Return what a log must not hold."""
    assert who.token is not None
    claims = [str(who.claims[name]) for name in ("sub", "tenant_id", "email")]
    macs = [ticket[:64] for ticket in tickets]
    return [who.token, *who.token.split(".")[1:], *tickets, *macs, *claims]


@pytest.mark.parametrize("which", BINDING)
def test_nothing_secret_is_logged(
    everything: psycopg.Connection,
    own: postgres.Server,
    issuer: ThrowawayIssuer,
    which: str,
) -> None:
    """Login, resume, policies and refusals leave their statements and no value."""
    auth = JWTRole([issuer.issuer], list(postgres.ROLES), trust="database")
    stranger = ThrowawayIssuer()
    theirs = JWTRole([stranger.issuer], list(postgres.ROLES), trust="database")
    who, mallory = somebody(issuer, auth), somebody(stranger, theirs)
    log = Log(own)
    with contextlib.closing(adapter(own, which, auth)) as used:
        used.run(who, READ)
        first = used.tickets.get(who)
        trusting.end_tickets(own, DATABASE, issuer)
        with pytest.raises(TokenRejected):
            used.run(mallory, READ)
        everyday(used, who)
        second = used.tickets.get(who)
    assert first
    assert second
    assert first != second

    text = log.read()

    for said in (
        "FROM jwtrole.login($2)", "jwtrole.resume($2)", READ, FOREIGN, "duration: ",
        "the ticket is refused", "has signed the token", "division by zero",
        "violates row-level security", "jwtrole:member:",
    ):  # fmt: skip
        assert said in text
    hidden = [*secrets(who, first, second), *secrets(mallory)]
    assert [secret for secret in hidden if secret in text] == []


@pytest.fixture
def loud(everything: psycopg.Connection) -> Iterator[None]:
    """Take what the bootstrap has set away."""
    everything.execute(LOUD)
    yield
    everything.execute(QUIET)


def logged(
    server: postgres.Server, issuer: ThrowawayIssuer, which: str
) -> tuple[str, Identity, str]:
    """Return the log of an ordinary use, who acted, and the ticket."""
    auth = JWTRole([issuer.issuer], list(postgres.ROLES), trust="database")
    who = somebody(issuer, auth)
    log = Log(server)
    with contextlib.closing(adapter(server, which, auth)) as used:
        everyday(used, who)
        ticket = used.tickets.get(who)
    assert ticket
    return log.read(), who, ticket


@pytest.mark.usefixtures("loud")
@pytest.mark.parametrize("which", BINDING)
def test_without_the_bootstraps_setting_everything_is_logged(
    own: postgres.Server, issuer: ThrowawayIssuer, which: str
) -> None:
    """The control: it is log_parameter_max_length that keeps them out."""
    text, who, ticket = logged(own, issuer, which)

    assert who.token is not None
    assert who.token in text
    assert ticket[:64] in text
    assert str(who.claims["email"]) in text


@pytest.mark.usefixtures("everything")
@pytest.mark.parametrize("which", INTERPOLATING)
def test_what_interpolates_is_logged_as_documented(
    own: postgres.Server, issuer: ThrowawayIssuer, which: str
) -> None:
    """Such a driver's text holds the values, and no setting keeps the text out."""
    text, who, ticket = logged(own, issuer, which)

    assert who.token is not None
    assert who.token in text
    assert ticket[:64] in text


@pytest.fixture(scope="module")
def believing(own: postgres.Server) -> str:
    """Return a database that takes the application's word."""
    own.create_database("believing")
    make_notes(own, "believing")
    return "believing"


@pytest.mark.parametrize("quiet", [True, False], ids=["quiet", "loud"])
@pytest.mark.parametrize("which", BINDING)
def test_claims_that_are_pushed_are_not_logged_either(
    everything: psycopg.Connection,
    own: postgres.Server,
    believing: str,
    issuer: ThrowawayIssuer,
    which: str,
    *,
    quiet: bool,
) -> None:
    """Where the application is trusted its claims stay out by the same setting."""
    auth = JWTRole([issuer.issuer], list(postgres.ROLES), trust="application")
    who = somebody(issuer, auth)
    everything.execute(QUIET if quiet else LOUD)
    try:
        log = Log(own)
        with contextlib.closing(adapter(own, which, auth, believing)) as used:
            everyday(used, who)
        text = log.read()
    finally:
        everything.execute(QUIET)

    found = [secret for secret in secrets(who) if secret in text]
    assert found == ([] if quiet else secrets(who)[-3:])


@pytest.fixture
def explained(everything: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """Have auto_explain log every plan, verbosely where the role does not say no."""
    role, place = f"ALTER ROLE {postgres.LOGIN}", f"ALTER DATABASE {DATABASE}"
    everything.execute("LOAD 'auto_explain'")
    for statement in (
        f"{role} SET session_preload_libraries = auto_explain",
        f"{place} SET auto_explain.log_min_duration = 0",
        f"{place} SET auto_explain.log_nested_statements = on",
        f"{place} SET auto_explain.log_verbose = on",
    ):
        everything.execute(statement.encode())
    yield everything
    everything.execute(f"{role} RESET session_preload_libraries".encode())
    everything.execute(f"{place} RESET ALL".encode())


@pytest.mark.usefixtures("explained")
@pytest.mark.parametrize("which", BINDING)
def test_explained_plans_hold_nothing_secret(
    own: postgres.Server, issuer: ThrowawayIssuer, which: str
) -> None:
    """A module that logs the plans of slow statements logs no value of ours."""
    text, who, ticket = logged(own, issuer, which)

    assert "Function Scan on login" in text
    found = [secret for secret in secrets(who, ticket) if secret in text]
    assert found == []


@pytest.mark.parametrize("which", BINDING)
def test_explained_plans_would_hold_everything(
    explained: psycopg.Connection,
    own: postgres.Server,
    issuer: ThrowawayIssuer,
    which: str,
) -> None:
    """The control: without the bootstrap's settings plans show token and ticket."""
    role = f"ALTER ROLE {postgres.LOGIN}"
    rows = explained.execute(
        "SELECT split_part(s, '=', 1), split_part(s, '=', 2) FROM pg_db_role_setting,"
        " unnest(setconfig) AS s WHERE setrole = %s::regrole AND s LIKE 'auto_ex%%'",
        (postgres.LOGIN,),
    )
    settings = rows.fetchall()
    for name, _ in settings:
        explained.execute(f"{role} RESET {name}".encode())
    try:
        text, who, ticket = logged(own, issuer, which)
    finally:
        for name, value in settings:
            explained.execute(f"{role} SET {name} = {value}".encode())

    assert settings
    assert who.token is not None
    assert who.token in text
    assert ticket[:64] in text
