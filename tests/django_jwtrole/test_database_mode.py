"""The database verifies the token: Django's engine, whatever a statement is sent as."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from django.db import Error, connections, transaction

from django_jwtrole.postgresql import base
from jwtrole.context import acting_as
from jwtrole.errors import (
    ConfigurationError,
    JWTRoleError,
    NoIdentity,
    RoleDenied,
    TokenExpired,
    TokenRejected,
)
from jwtrole.identity import Identity
from jwtrole.testing import ThrowawayIssuer
from jwtrole.tokens import JWTRole
from tests import postgres, trusting
from tests.django_jwtrole.conftest import ALICE, BLUE, RED
from tests.django_jwtrole.test_postgresql import flights
from tests.django_project.aliases import forget, migrate, register
from tests.django_project.billing.models import Invoice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jwtrole.tickets import Tickets

NUMBERS = "SELECT number FROM invoice ORDER BY number"
INSERT = "INSERT INTO invoice (id, number) VALUES (gen_random_uuid(), 'red-3')"
RED_NUMBERS = ["red-1", "red-2"]


@pytest.fixture(scope="module")
def verified(issuer: ThrowawayIssuer) -> JWTRole:
    """Return a configuration that has the database verify tokens."""
    return JWTRole([issuer.issuer], list(postgres.ROLES), trust="database")


@pytest.fixture(scope="module")
def place(
    server: postgres.Server, worker: str, issuer: ThrowawayIssuer
) -> Iterator[str]:
    """Return a database that verifies tokens itself."""
    name = f"django_verifying_{worker}"
    server.create_database(name, schema=False)
    migrate(server, name)
    trusting.upgrade(server, name)
    trusting.trust(server, name, issuer)
    yield name
    server.drop_database(name)


@pytest.fixture
def full(server: postgres.Server, place: str) -> Iterator[str]:
    """Return the same with two red rows and a blue one."""
    with server.connect("postgres", place) as admin:
        for number, tenant in (("red-1", RED), ("red-2", RED), ("blue-1", BLUE)):
            admin.execute(
                "INSERT INTO invoice (id, number, tenant_id)"
                " VALUES (gen_random_uuid(), %s, %s)",
                (number, tenant),
            )
        yield place
        admin.execute("TRUNCATE invoice")


@pytest.fixture
def verifying(server: postgres.Server, full: str, verified: JWTRole) -> Iterator[str]:
    """Return an alias of the application whose process knows no ticket yet."""
    base._tickets.clear()
    name = register(server, full, verified)
    connections[name].ensure_connection()
    yield name
    forget(name)


@pytest.fixture
def end_tickets(
    server: postgres.Server, full: str, issuer: ThrowawayIssuer
) -> Callable[[], None]:
    """Return what ends every ticket."""
    return lambda: trusting.end_tickets(server, full, issuer)


@pytest.fixture
def kept(server: postgres.Server, full: str) -> Callable[[], int]:
    """Return what counts the rows that INSERT left."""

    def kept() -> int:
        with server.connect("postgres", full) as admin:
            row = admin.execute(
                "SELECT count(*) FROM invoice WHERE number = 'red-3'"
            ).fetchone()
        assert row is not None
        return int(row[0])

    return kept


@pytest.fixture
def neighbour(server: postgres.Server, full: str) -> Iterator[psycopg.Connection]:
    """Return another session of the same login role."""
    with contextlib.closing(server.connect(postgres.LOGIN, full)) as connection:
        yield connection


def numbers(alias: str) -> list[str]:
    """Return the rows that whoever is acting sees."""
    rows = Invoice.objects.using(alias).order_by("number")
    return list(rows.values_list("number", flat=True))


def run(alias: str, *statements: str) -> list[Any]:
    """Run statements on one cursor and return the first column of the last."""
    with connections[alias].cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return [row[0] for row in cursor] if cursor.description else []


def tickets(alias: str) -> Tickets:
    """Return what the database of an alias has handed out."""
    found = connections[alias]._tickets()
    assert found is not None
    return found


def secrets(alias: str, who: Identity) -> list[str]:
    """Return what must never be said of somebody."""
    token = who.token or "no token at all"
    ticket = tickets(alias).get(who) or "no ticket at all"
    claims = [who.claims.get("sub", "nobody"), who.claims.get("tenant_id", "nowhere")]
    return [token, *token.split("."), ticket, ticket[:64], *claims]


def refused(
    kind: type[JWTRoleError], alias: str, who: Identity, *, atomic: bool
) -> JWTRoleError:
    """Return the error of a refusal that shows no secret, not even in its chain."""
    known = secrets(alias, who)
    insert = transaction.atomic(using=alias)(run) if atomic else run
    with acting_as(who), pytest.raises(kind) as caught:
        insert(alias, INSERT)
    said = trusting.everything_said(caught.value)
    assert [secret for secret in known if secret in said] == []
    assert bare(alias) == "app_login"
    return caught.value


def bare(alias: str) -> str:
    """Return who the connection is between transactions, asked past every hook."""
    with psycopg.Cursor(connections[alias].connection) as cursor:
        row = cursor.execute("SELECT current_user::text").fetchone()
    assert row is not None
    return str(row[0])


both = pytest.mark.parametrize("atomic", [True, False], ids=["atomic", "autocommit"])


def test_the_first_transaction_logs_in_and_later_ones_resume(
    verifying: str, server: postgres.Server, full: str, alice: Identity, bob: Identity
) -> None:
    """Once logged in, a token needs no right to log in until its ticket ends."""
    with acting_as(alice):
        assert numbers(verifying) == RED_NUMBERS
    with trusting.no_logins(server, full):
        with acting_as(alice):
            assert numbers(verifying) == RED_NUMBERS
            with transaction.atomic(using=verifying):
                assert numbers(verifying) == RED_NUMBERS
        found = refused(ConfigurationError, verifying, bob, atomic=False)

    assert "does not let this login ask" in str(found)


def test_threads_share_tickets(
    verifying: str, server: postgres.Server, full: str, alice: Identity
) -> None:
    """A login in one thread serves the connections of all others."""
    found: list[list[str]] = []

    def read() -> None:
        with acting_as(alice):
            found.append(numbers(verifying))
        connections[verifying].close()

    for stack in (contextlib.nullcontext(), trusting.no_logins(server, full)):
        with stack:
            thread = threading.Thread(target=read)
            thread.start()
            thread.join()

    assert found == [RED_NUMBERS, RED_NUMBERS]


def test_two_databases_keep_their_tickets_apart(
    verifying: str, server: postgres.Server, live: str, verified: JWTRole
) -> None:
    """Aliases of one database share what it hands out, of two they do not."""
    same = register(server, connections[verifying].settings_dict["NAME"], verified)
    other = register(server, live, verified)

    assert tickets(same) is tickets(verifying)
    assert tickets(other) is not tickets(verifying)
    forget(same)
    forget(other)


@both
def test_a_refused_ticket_costs_one_login(
    verifying: str,
    alice: Identity,
    end_tickets: Callable[[], None],
    kept: Callable[[], int],
    atomic: bool,
) -> None:
    """A change of trust shows nowhere, and nothing runs twice."""
    with acting_as(alice):
        numbers(verifying)
        before = tickets(verifying).get(alice)
        end_tickets()
        if atomic:
            with transaction.atomic(using=verifying):
                run(verifying, INSERT)
        else:
            run(verifying, INSERT)

    assert kept() == 1
    assert tickets(verifying).get(alice) not in {before, None}
    assert bare(verifying) == "app_login"


def several(cursor: Any) -> None:
    """Send several statements in one text."""
    cursor.execute(f"SELECT 1; {INSERT}")


def many(cursor: Any) -> None:
    """Send a statement with several sets of parameters."""
    text = "INSERT INTO invoice (id, number) VALUES (gen_random_uuid(), %s)"
    cursor.executemany(text, (values for values in [("red-3",), ("red-4",)]))


def copied(cursor: Any) -> None:
    """Send COPY."""
    with cursor.copy(f"COPY ({INSERT} RETURNING number) TO STDOUT") as copy:
        assert list(copy.rows()) == [("red-3",)]


def streamed(cursor: Any) -> None:
    """Ask for row after row."""
    assert list(cursor.stream(f"{INSERT} RETURNING number")) == [("red-3",)]


def piped(cursor: Any) -> None:
    """Send it in a pipeline of the caller's own."""
    with cursor.connection.pipeline():
        cursor.execute(INSERT)


def piped_apart(cursor: Any) -> None:
    """Send other statements before and after it in one pipeline."""
    with cursor.connection.pipeline():
        cursor.execute(INSERT)
        cursor.execute(NUMBERS)
        assert [row[0] for row in cursor] == [*RED_NUMBERS, "red-3"]


class Slow(psycopg.sql.SQL):
    """Be a text that takes its time, so that answers come before it is sent."""

    def as_bytes(self, context: Any = None) -> bytes:
        """Return the text, a moment later."""
        time.sleep(0.1)
        return super().as_bytes(context)


def piped_slowly(cursor: Any) -> None:
    """Send it in a pipeline when the preamble has been answered already."""
    with cursor.connection.pipeline():
        cursor.execute(Slow(INSERT))


WAYS = [several, many, copied, streamed, piped, piped_apart, piped_slowly]


@both
@pytest.mark.parametrize("way", WAYS)
def test_a_refused_ticket_may_meet_any_way_of_sending(
    verifying: str,
    alice: Identity,
    end_tickets: Callable[[], None],
    kept: Callable[[], int],
    way: Callable[[Any], None],
    atomic: bool,
) -> None:
    """However a statement is sent, one login precedes it and it runs once."""
    with acting_as(alice):
        numbers(verifying)
        end_tickets()
        connections[verifying].set_autocommit(not atomic)
        with connections[verifying].cursor() as cursor:
            way(cursor.cursor)
        if atomic:
            connections[verifying].commit()
            connections[verifying].set_autocommit(True)
        with connections[verifying].cursor() as cursor:
            cursor.execute(NUMBERS)
            assert cursor.fetchall()[:2] == [("red-1",), ("red-2",)]

    assert kept() == 1
    assert tickets(verifying).get(alice) is not None
    assert bare(verifying) == "app_login"


@both
@pytest.mark.parametrize("way", WAYS)
def test_a_refused_identity_runs_nothing_however_it_is_sent(
    verifying: str,
    issuer: ThrowawayIssuer,
    alice: Identity,
    kept: Callable[[], int],
    way: Callable[[Any], None],
    atomic: bool,
) -> None:
    """However a statement is sent, it is not where the database says no."""
    generous = JWTRole([issuer.issuer], {"guest": "member"}, trust="database")
    guest = issuer.identity(generous, sub="eve", role="guest", tenant_id=str(RED))
    connections[verifying].set_autocommit(not atomic)
    with (
        acting_as(guest),
        connections[verifying].cursor() as cursor,
        pytest.raises(RoleDenied),
    ):
        way(cursor.cursor)
    connections[verifying].rollback()
    connections[verifying].set_autocommit(True)

    assert kept() == 0
    assert bare(verifying) == "app_login"
    with acting_as(alice):
        assert numbers(verifying) == RED_NUMBERS


def test_verifying_costs_no_flight(verifying: str, alice: Identity) -> None:
    """A login and a resume each travel with the statement they are for."""
    with acting_as(alice):
        for _ in range(2):
            assert flights(verifying, lambda: numbers(verifying)) == 1


@both
def test_a_refused_ticket_may_meet_a_named_cursor(
    verifying: str, alice: Identity, end_tickets: Callable[[], None], atomic: bool
) -> None:
    """A server-side cursor is declared after one login."""
    rows = Invoice.objects.using(verifying).order_by("number").values_list("number")
    with acting_as(alice):
        numbers(verifying)
        end_tickets()
        if atomic:
            with transaction.atomic(using=verifying):
                found = list(rows.iterator(chunk_size=1))
        else:
            found = list(rows.iterator(chunk_size=1))

    assert [row[0] for row in found] == RED_NUMBERS
    assert bare(verifying) == "app_login"


def test_a_callers_pipeline_is_told_of_a_refusal(
    verifying: str, alice: Identity, end_tickets: Callable[[], None]
) -> None:
    """In a transaction of the driver's own a refused ticket is an error, once."""
    driver = connections[verifying].connection
    with acting_as(alice):
        numbers(verifying)
        end_tickets()
        with pytest.raises(TokenRejected), driver.pipeline(), driver.transaction():
            driver.execute(INSERT)

        assert numbers(verifying) == RED_NUMBERS


def test_a_failed_statement_does_not_cost_its_ticket(
    verifying: str, server: postgres.Server, full: str, alice: Identity
) -> None:
    """The login was good, whatever became of the statement it came with."""
    with acting_as(alice):
        with pytest.raises(Error, match="division"):
            run(verifying, "SELECT 1 / 0")
        with trusting.no_logins(server, full):
            assert numbers(verifying) == RED_NUMBERS


def test_an_error_after_a_refused_ticket_is_the_statements_alone(
    verifying: str, alice: Identity, end_tickets: Callable[[], None]
) -> None:
    """A user reads of the statement that failed and of no ticket."""
    with acting_as(alice):
        numbers(verifying)
        end_tickets()
        with pytest.raises(Error, match="division") as caught:
            run(verifying, "SELECT 1 / 0")

    assert "ticket" not in trusting.everything_said(caught.value)


def test_an_expired_ticket_costs_one_login(
    verifying: str,
    server: postgres.Server,
    full: str,
    issuer: ThrowawayIssuer,
    alice: Identity,
) -> None:
    """A ticket that ends is replaced, whichever clock says so."""
    trust = "SELECT jwtrole.trust(%s, %s, 30, '{role}', %s)"
    given = (issuer.name, [issuer.audience])
    memory = tickets(verifying)
    with acting_as(alice):
        numbers(verifying)
        memory.keep(alice, "no ticket", time.time() - 1)
        assert numbers(verifying) == RED_NUMBERS

        trusting.run(server, full, trust, *given, 1)
        try:
            assert numbers(verifying) == RED_NUMBERS
            short = list(memory._found.values())[-1][0]
            # The client's clock is behind; the ticket has what is left of a second.
            memory.keep(alice, short, time.time() + 60)
            time.sleep(1.01 - time.time() % 1)
            assert numbers(verifying) == RED_NUMBERS
        finally:
            trusting.run(server, full, trust, *given, 300)


def test_a_ticket_refused_inside_a_transaction_is_an_error(
    verifying: str,
    alice: Identity,
    end_tickets: Callable[[], None],
    kept: Callable[[], int],
) -> None:
    """What was undone is not silently begun anew; the next transaction works."""
    known = secrets(verifying, alice)
    driver = connections[verifying].connection
    with acting_as(alice):
        numbers(verifying)
        with connections[verifying].cursor() as cursor:
            cursor.execute("BEGIN")
            psycopg.Cursor(driver).execute("SAVEPOINT first")
            cursor.execute(NUMBERS)
            cursor.execute("ROLLBACK TO first")
            end_tickets()
            with pytest.raises(TokenRejected) as caught:
                cursor.execute(INSERT)
            cursor.execute("ROLLBACK")
        assert numbers(verifying) == RED_NUMBERS

    assert kept() == 0
    said = trusting.everything_said(caught.value)
    assert [secret for secret in known if secret in said] == []


@both
def test_an_expired_token_runs_nothing(
    verifying: str,
    issuer: ThrowawayIssuer,
    alice: Identity,
    kept: Callable[[], int],
    atomic: bool,
) -> None:
    """A token whose time is over is refused, by the client's clock or the server's."""
    claims = dict(alice.claims)
    token = issuer.mint(**{**claims, "exp": int(time.time()) - 60})
    late = Identity("member", claims, expires=time.time() - 1, token=token)
    behind = Identity("member", claims, token=token)

    refused(TokenExpired, verifying, late, atomic=atomic)
    refused(TokenExpired, verifying, behind, atomic=atomic)

    assert kept() == 0


@both
def test_what_the_database_does_not_trust_runs_nothing(
    verifying: str, issuer: ThrowawayIssuer, kept: Callable[[], int], atomic: bool
) -> None:
    """Another key, a role off the map and claims without a token open nothing."""
    claims = {"sub": str(ALICE), "role": "member", "tenant_id": str(RED)}
    stranger = ThrowawayIssuer()
    theirs = JWTRole([stranger.issuer], list(postgres.ROLES), trust="database")
    generous = JWTRole([issuer.issuer], {"guest": "member"}, trust="database")
    mallory = stranger.identity(theirs, **claims)
    guest = issuer.identity(generous, **{**claims, "role": "guest"})

    refused(TokenRejected, verifying, mallory, atomic=atomic)
    refused(RoleDenied, verifying, guest, atomic=atomic)
    refused(NoIdentity, verifying, Identity("member", claims), atomic=atomic)

    assert kept() == 0


def test_the_anonymous_role_is_the_databases_to_give(
    server: postgres.Server, full: str, issuer: ThrowawayIssuer
) -> None:
    """Without an anonymous role of its own the database runs nothing for nobody."""
    open_to_all = JWTRole(
        [issuer.issuer],
        list(postgres.ROLES),
        anonymous=postgres.ANONYMOUS,
        trust="database",
    )
    alias = register(server, full, open_to_all)
    who = "SELECT current_user::text || jwtrole.claims()"
    trusting.run(server, full, "SELECT jwtrole.set_anonymous('anon')")
    try:
        assert run(alias, who) == ["anon{}"]
    finally:
        trusting.run(server, full, "SELECT jwtrole.set_anonymous(NULL)")
    with pytest.raises(NoIdentity, match="has no anonymous role"):
        run(alias, who)
    forget(alias)


@both
def test_a_database_that_does_not_verify_says_what_to_do(
    server: postgres.Server, live: str, verified: JWTRole, alice: Identity, atomic: bool
) -> None:
    """On the schema of the application mode nothing runs, and the error says why."""
    alias = register(server, live, verified)
    connections[alias].ensure_connection()

    found = refused(ConfigurationError, alias, alice, atomic=atomic)

    assert "takes the application's word for it" in str(found)
    assert "jwtrole sql --trust database --from 1 --login app_login" in str(found)
    forget(alias)


def test_another_failure_is_the_drivers_own(
    verifying: str, server: postgres.Server, full: str, alice: Identity
) -> None:
    """A preamble that times out is the driver's error, without a secret in it."""
    known = secrets(verifying, alice)
    driver = connections[verifying].connection
    psycopg.Cursor(driver).execute("SET statement_timeout = 100")
    with server.connect(postgres.OWNER, full) as owner, owner.transaction():
        owner.execute("LOCK TABLE jwtrole.issuer IN ACCESS EXCLUSIVE MODE")
        with acting_as(alice), pytest.raises(Error, match="timeout") as caught:
            run(verifying, INSERT)

    said = trusting.everything_said(caught.value)
    assert [secret for secret in known if secret in said] == []
    with acting_as(alice):
        assert numbers(verifying) == RED_NUMBERS


def test_a_neighbour_reads_no_secret_after_the_preamble(
    verifying: str, neighbour: psycopg.Connection, alice: Identity
) -> None:
    """Between preamble and statement the view shows neither token nor ticket."""
    driver = connections[verifying].connection
    seen = []
    with acting_as(alice):
        for _ in range(2):
            with driver.cursor()._own_flight():
                seen.append(trusting.activity(neighbour, driver.info.backend_pid))

    assert "jwtrole.login($2)" in seen[0]
    assert "jwtrole.resume($2)" in seen[1]
    known = secrets(verifying, alice)
    assert [secret for secret in known if secret in "".join(seen)] == []


@pytest.mark.parametrize("kind", ["login", "resume"])
def test_a_neighbour_reads_no_secret_during_the_preamble(
    verifying: str,
    neighbour: psycopg.Connection,
    server: postgres.Server,
    full: str,
    alice: Identity,
    kind: str,
) -> None:
    """While the preamble runs the view shows neither token nor ticket."""
    with acting_as(alice):
        numbers(verifying)
    known = secrets(verifying, alice)
    if kind == "login":
        tickets(verifying).forget(alice)

    def read() -> None:
        with acting_as(alice):
            numbers(verifying)
        connections[verifying].close()

    thread = threading.Thread(target=read)
    with server.connect(postgres.OWNER, full) as owner, owner.transaction():
        owner.execute("LOCK TABLE jwtrole.issuer IN ACCESS EXCLUSIVE MODE")
        thread.start()
        text = trusting.waiting(neighbour)
    thread.join()

    assert f"jwtrole.{kind}($2)" in text
    assert [secret for secret in known if secret in text] == []


def test_an_interpolated_query_would_be_read(
    verifying: str, neighbour: psycopg.Connection, alice: Identity
) -> None:
    """The control: what is written into the text is there to be read."""
    driver = connections[verifying].connection
    psycopg.ClientCursor(driver).execute("SELECT %s", (alice.token,))

    assert alice.token is not None
    text = trusting.activity(neighbour, driver.info.backend_pid)
    assert alice.token in text


def attacks(ticket: str, bob: Identity) -> dict[str, list[str]]:
    """Return what somebody injects who wants to read the blue rows."""
    claims = bob.claims_json.replace("'", "''")
    own = ticket.replace("'", "''")
    forge = "SELECT set_config('{}', '{}', true)"
    take = "SELECT set_config('role', jwtrole.resume('{}'), true)"
    return {
        "claims": [forge.format("jwtrole.claims", claims)],
        "claims and seal": [
            forge.format("jwtrole.claims", claims),
            forge.format("jwtrole.seal", "0" * 64 + "Infinity"),
        ],
        "role setting": [forge.format("jwtrole.role", "manager")],
        "role": ["SET ROLE manager"],
        "role and claims": [
            "SET ROLE manager",
            forge.format("jwtrole.role", "manager"),
            forge.format("jwtrole.claims", claims),
        ],
        "own ticket": ["RESET ROLE", take.format(own)],
        "edited ticket": [
            "RESET ROLE",
            take.format(own.replace(str(RED), str(BLUE))),
        ],
    }


@both
@pytest.mark.parametrize("attack", sorted(attacks("", Identity("x"))))
def test_injected_sql_reads_no_foreign_row(
    verifying: str, alice: Identity, bob: Identity, attack: str, atomic: bool
) -> None:
    """Settings, roles and tickets within SQL's reach open nobody else's rows."""
    found: list[str] = []
    with acting_as(alice):
        numbers(verifying)
        ticket = tickets(verifying).get(alice)
        assert ticket is not None
        statements = [*attacks(ticket, bob)[attack], NUMBERS]
        try:
            if atomic:
                with transaction.atomic(using=verifying):
                    found = run(verifying, *statements)
            else:
                # One text, as an injection is, in one transaction.
                with connections[verifying].cursor() as cursor:
                    cursor.execute("; ".join(statements))
                    while cursor.nextset():
                        pass
                    found = [row[0] for row in cursor]
        except Error as error:
            found = [str(getattr(error.__cause__, "sqlstate", "?"))]

        assert numbers(verifying) == RED_NUMBERS

    assert found in (
        RED_NUMBERS if attack in {"own ticket", "role setting"} else [],
        ["JW006"],
        ["JW001"],
    )


def test_the_attacked_row_is_there(verifying: str, bob: Identity) -> None:
    """The control: the right token opens what no injected SQL does."""
    with acting_as(bob):
        assert numbers(verifying) == ["blue-1"]


def test_the_same_injection_opens_the_application_mode(
    alias: str, alice: Identity, bob: Identity
) -> None:
    """The control: where the application is trusted, forged claims are believed."""
    with acting_as(alice), transaction.atomic(using=alias):
        found = run(alias, *attacks("", bob)["claims"], NUMBERS)

    assert found == ["blue-1"]


def test_what_injected_sql_leaves_on_the_session_is_taken_off(
    verifying: str, alice: Identity
) -> None:
    """A role set for the session does not stop the next login, nor does it stay."""
    psycopg.Cursor(connections[verifying].connection).execute("SET ROLE manager")

    with acting_as(alice):
        assert run(verifying, "SELECT current_user::text") == ["member"]
        assert numbers(verifying) == RED_NUMBERS


def test_the_end_of_a_request_is_the_end_of_its_identity(
    server: postgres.Server,
    full: str,
    verified: JWTRole,
    alice: Identity,
    bob: Identity,
) -> None:
    """A connection that outlives its request serves the next identity."""
    alias = register(server, full, verified, CONN_MAX_AGE=None)
    connections[alias].ensure_connection()
    driver = connections[alias].connection
    with acting_as(alice), driver.transaction():
        assert numbers(alias) == RED_NUMBERS

    connections[alias].close_if_unusable_or_obsolete()

    assert connections[alias]._carrier.worn is None
    with acting_as(bob), driver.transaction():
        assert numbers(alias) == ["blue-1"]
    forget(alias)


def test_read_only_transactions_have_identities(
    verifying: str, alice: Identity
) -> None:
    """Login and resume write nothing, so that READ ONLY does not stop them."""
    driver = connections[verifying].connection
    psycopg.Cursor(driver).execute("SET default_transaction_read_only = on")

    with acting_as(alice):
        for _ in range(2):
            assert numbers(verifying) == RED_NUMBERS
        driver.read_only = True
        with transaction.atomic(using=verifying):
            assert numbers(verifying) == RED_NUMBERS
        with pytest.raises(Error, match="read-only"):
            run(verifying, INSERT)
