"""The database verifies the token: SQLAlchemy with each driver that it has."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from jwtrole import policy, roles
from jwtrole.drivers import probe
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
from tests.sqlalchemy_jwtrole.attached import DRIVERS, INTERPOLATING, Attached
from tests.sqlalchemy_jwtrole.conftest import RED, make_notes, note

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psycopg

BODIES = sa.select(note.c.body).order_by(note.c.body)
RED_BODIES = ["red-1", "red-2"]


def bodies(conn: sa.Connection) -> list[str]:
    """Return the rows that a connection sees."""
    return list(conn.scalars(BODIES))


def add(conn: sa.Connection) -> None:
    """Add a row that nobody keeps."""
    conn.execute(note.insert(), [{"body": "red-3"}])
    conn.commit()


@pytest.fixture(scope="module")
def verified(issuer: ThrowawayIssuer) -> JWTRole:
    """Return a configuration that has the database verify tokens."""
    return JWTRole([issuer.issuer], list(postgres.ROLES), trust="database")


def make_verifying(server: postgres.Server, name: str, issuer: ThrowawayIssuer) -> None:
    """Make a database whose managers see everything and whose members their own."""
    server.create_database(name)
    make_notes(server, name)
    everything = policy.Policy(
        name="note_all",
        table="note",
        to=("manager",),
        using="(SELECT jwtrole.sealed())",
    )
    for statement in (
        *everything.create(),
        *roles.Grant(table="note", role="manager", on=("SELECT",)).grant(),
    ):
        trusting.run(server, name, statement)
    trusting.upgrade(server, name)
    trusting.trust(server, name, issuer)


@pytest.fixture(scope="module")
def place(
    server: postgres.Server, worker: str, issuer: ThrowawayIssuer
) -> Iterator[str]:
    """Return a database that verifies tokens itself."""
    name = f"verifying_{worker}"
    make_verifying(server, name, issuer)
    yield name
    server.drop_database(name)


@pytest.fixture
def full(
    server: postgres.Server,
    place: str,
    verified: JWTRole,
    alice: Identity,
    bob: Identity,
) -> Iterator[str]:
    """Return the same with two red rows and a blue one."""
    with contextlib.closing(Attached(server, place, "psycopg", verified)) as shop:
        for who, found in ((alice, RED_BODIES), (bob, ["blue-1"])):
            shop.run(who, lambda conn, found=found: fill(conn, found))
    yield place
    with server.connect("postgres", place) as admin:
        admin.execute("TRUNCATE note")


def fill(conn: sa.Connection, found: list[str]) -> None:
    """Add rows of whoever is acting."""
    conn.execute(note.insert(), [{"body": body} for body in found])
    conn.commit()


@pytest.fixture(params=DRIVERS)
def shop(
    request: pytest.FixtureRequest,
    server: postgres.Server,
    full: str,
    verified: JWTRole,
) -> Iterator[Attached]:
    """Return an attached engine of each driver."""
    with contextlib.closing(
        Attached(server, full, request.param, verified)
    ) as attached:
        yield attached


@pytest.fixture
def neighbour(server: postgres.Server, full: str) -> Iterator[psycopg.Connection]:
    """Return another session of the same login role."""
    with contextlib.closing(server.connect(postgres.LOGIN, full)) as connection:
        yield connection


@pytest.fixture
def kept(server: postgres.Server, full: str) -> Callable[[], int]:
    """Return what counts the rows that add() left."""

    def kept() -> int:
        with server.connect("postgres", full) as admin:
            row = admin.execute(
                "SELECT count(*) FROM note WHERE body = 'red-3'"
            ).fetchone()
        assert row is not None
        return int(row[0])

    return kept


def secrets(who: Identity, shop: Attached) -> list[str]:
    """Return what must never be said of somebody."""
    token = who.token or "no token at all"
    ticket = shop.tickets.get(who) or "no ticket at all"
    claims = [who.claims.get("sub", "nobody"), who.claims.get("tenant_id", "nowhere")]
    return [token, *token.split("."), ticket, ticket[:64], *claims]


def refused(
    kind: type[JWTRoleError], shop: Attached, who: Identity | None, work: Any = add
) -> JWTRoleError:
    """Return the error of a refusal that shows no secret, not even in its chain."""
    known = [] if who is None else secrets(who, shop)
    with pytest.raises(kind) as caught:
        shop.run(who, work)
    said = trusting.everything_said(caught.value)
    assert [secret for secret in known if secret in said] == []
    return caught.value


def test_the_first_transaction_logs_in_and_later_ones_resume(
    shop: Attached, server: postgres.Server, full: str, alice: Identity, bob: Identity
) -> None:
    """Once logged in, a token needs no right to log in until its ticket ends."""
    assert shop.run(alice, bodies) == RED_BODIES
    with trusting.no_logins(server, full):
        for _ in range(2):
            assert shop.run(alice, bodies) == RED_BODIES
        found = refused(ConfigurationError, shop, bob)

    assert "does not let this login ask" in str(found)
    assert shop.run(bob, bodies) == ["blue-1"]


def test_a_refused_ticket_costs_one_login(
    shop: Attached,
    server: postgres.Server,
    full: str,
    issuer: ThrowawayIssuer,
    alice: Identity,
    kept: Callable[[], int],
) -> None:
    """A change of trust shows nowhere, and nothing runs twice."""
    shop.run(alice, bodies)
    before = shop.tickets.get(alice)
    trusting.end_tickets(server, full, issuer)

    shop.run(alice, add)

    assert kept() == 1
    assert shop.tickets.get(alice) not in {before, None}
    with trusting.no_logins(server, full):
        assert shop.run(alice, bodies) == [*RED_BODIES, "red-3"]


def test_a_refused_ticket_may_come_before_any_statement(
    shop: Attached,
    server: postgres.Server,
    full: str,
    issuer: ThrowawayIssuer,
    alice: Identity,
) -> None:
    """A savepoint, a stream or a batch may be what finds the ticket refused."""

    def nested(conn: sa.Connection) -> list[str]:
        with conn.begin_nested():
            return bodies(conn)

    def streamed(conn: sa.Connection) -> list[str]:
        return list(conn.execution_options(yield_per=1).scalars(BODIES))

    def batch(conn: sa.Connection) -> list[str]:
        changed = sa.update(note).where(note.c.body == sa.bindparam("old"))
        rows = [{"old": body, "new": f"{body}-new"} for body in RED_BODIES]
        conn.execute(changed.values(body=sa.bindparam("new")), rows)
        return [body.removesuffix("-new") for body in bodies(conn)]

    for work in (nested, streamed, batch):
        shop.run(alice, bodies)
        trusting.end_tickets(server, full, issuer)
        assert shop.run(alice, work) == RED_BODIES


def test_an_expired_ticket_costs_one_login(
    shop: Attached,
    server: postgres.Server,
    full: str,
    issuer: ThrowawayIssuer,
    alice: Identity,
) -> None:
    """A ticket that ends is replaced, whichever clock says so."""
    trust = "SELECT jwtrole.trust(%s, %s, 30, '{role}', %s)"
    given = (issuer.name, [issuer.audience])
    shop.run(alice, bodies)
    ticket = shop.tickets.get(alice)
    assert ticket is not None
    shop.tickets.keep(alice, ticket, time.time() - 1)
    assert shop.run(alice, bodies) == RED_BODIES

    trusting.run(server, full, trust, *given, 1)
    try:
        assert shop.run(alice, bodies) == RED_BODIES
        short = list(shop.tickets._found.values())[-1][0]
        # The client's clock is behind; the ticket lasts for what is left of a second.
        shop.tickets.keep(alice, short, time.time() + 60)
        time.sleep(1.01 - time.time() % 1)
        assert shop.run(alice, bodies) == RED_BODIES
    finally:
        trusting.run(server, full, trust, *given, 300)


def test_a_ticket_refused_inside_a_transaction_is_an_error(
    shop: Attached,
    server: postgres.Server,
    full: str,
    issuer: ThrowawayIssuer,
    alice: Identity,
    kept: Callable[[], int],
) -> None:
    """What was undone is not silently begun anew; the next transaction works."""

    def undone(conn: sa.Connection) -> None:
        cursor = conn.connection.cursor()
        cursor.execute("SAVEPOINT first")
        assert bodies(conn) == RED_BODIES
        conn.exec_driver_sql("ROLLBACK TO first")
        trusting.end_tickets(server, full, issuer)
        add(conn)

    shop.run(alice, bodies)
    refused(TokenRejected, shop, alice, undone)

    assert kept() == 0
    assert shop.run(alice, bodies) == RED_BODIES


def test_a_chained_transaction_that_is_refused_is_an_error(
    shop: Attached,
    server: postgres.Server,
    full: str,
    issuer: ThrowawayIssuer,
    alice: Identity,
) -> None:
    """A transaction that SQL chained to another is not begun anew either."""

    def chained(conn: sa.Connection) -> None:
        bodies(conn)
        trusting.end_tickets(server, full, issuer)
        conn.exec_driver_sql("COMMIT AND CHAIN")
        bodies(conn)

    refused(TokenRejected, shop, alice, chained)

    assert shop.run(alice, bodies) == RED_BODIES


def test_an_expired_token_runs_nothing(
    shop: Attached, issuer: ThrowawayIssuer, alice: Identity, kept: Callable[[], int]
) -> None:
    """A token whose time is over is refused, by the client's clock or the server's."""
    claims = dict(alice.claims)
    token = issuer.mint(**{**claims, "exp": int(time.time()) - 60})
    late = Identity("member", claims, expires=time.time() - 1, token=token)
    behind = Identity("member", claims, token=token)

    refused(TokenExpired, shop, late)
    refused(TokenExpired, shop, behind)

    assert kept() == 0


def test_a_token_that_the_database_does_not_trust_runs_nothing(
    shop: Attached, alice: Identity, kept: Callable[[], int]
) -> None:
    """The application's trust alone gives nobody an identity."""
    stranger = ThrowawayIssuer()
    theirs = JWTRole([stranger.issuer], list(postgres.ROLES), trust="database")
    mallory = stranger.identity(theirs, **claims_of(alice))

    found = refused(TokenRejected, shop, mallory)

    assert "have it trust the same issuers" in str(found)
    assert kept() == 0
    assert shop.run(alice, bodies) == RED_BODIES


def claims_of(who: Identity) -> dict[str, Any]:
    """Return the claims that an issuer is told."""
    return {name: who.claims[name] for name in ("sub", "role", "tenant_id")}


def test_a_role_that_the_database_does_not_map_runs_nothing(
    shop: Attached, issuer: ThrowawayIssuer, kept: Callable[[], int]
) -> None:
    """The application's map alone gives nobody a role."""
    generous = JWTRole([issuer.issuer], {"guest": "member"}, trust="database")
    guest = issuer.identity(generous, sub="eve", role="guest", tenant_id=str(RED))

    found = refused(RoleDenied, shop, guest)

    assert "maps the token to no role" in str(found)
    assert kept() == 0


def test_claims_without_a_token_run_nothing(
    shop: Attached, alice: Identity, kept: Callable[[], int]
) -> None:
    """An identity made by hand is nobody to a database that verifies."""
    refused(NoIdentity, shop, Identity("member", alice.claims))

    assert kept() == 0


@pytest.mark.parametrize("which", DRIVERS)
def test_the_anonymous_role_is_the_databases_to_give(
    server: postgres.Server, full: str, issuer: ThrowawayIssuer, which: str
) -> None:
    """Without an anonymous role of its own the database runs nothing for nobody."""
    open_to_all = JWTRole(
        [issuer.issuer],
        list(postgres.ROLES),
        anonymous=postgres.ANONYMOUS,
        trust="database",
    )
    who = sa.text("SELECT current_user::text, jwtrole.claims()::text")
    with contextlib.closing(Attached(server, full, which, open_to_all)) as shop:
        trusting.run(server, full, "SELECT jwtrole.set_anonymous('anon')")
        try:
            assert shop.run(None, lambda conn: conn.execute(who).one()) == (
                "anon",
                "{}",
            )
        finally:
            trusting.run(server, full, "SELECT jwtrole.set_anonymous(NULL)")
        found = refused(NoIdentity, shop, None)
        assert "has no anonymous role" in str(found)


@pytest.mark.parametrize("which", DRIVERS)
def test_a_database_that_does_not_verify_says_what_to_do(
    server: postgres.Server,
    database: str,
    notes: None,
    verified: JWTRole,
    alice: Identity,
    which: str,
) -> None:
    """On the schema of the application mode nothing runs, and the error says why."""
    with contextlib.closing(Attached(server, database, which, verified)) as shop:
        found = refused(ConfigurationError, shop, alice)

    assert "takes the application's word for it" in str(found)
    assert "jwtrole sql --trust database --from 1 --login app_login" in str(found)


def test_another_failure_is_sqlalchemys_own(
    shop: Attached, server: postgres.Server, full: str, alice: Identity
) -> None:
    """A preamble that times out is the driver's error, without a secret in it."""
    slow = sa.text("SET SESSION statement_timeout = 100")
    known = secrets(alice, shop)

    def work(conn: sa.Connection) -> None:
        conn.connection.cursor().execute(str(slow))
        with server.connect(postgres.OWNER, full) as owner, owner.transaction():
            owner.execute("LOCK TABLE jwtrole.issuer IN ACCESS EXCLUSIVE MODE")
            bodies(conn)

    with pytest.raises(DBAPIError) as caught:
        shop.run(alice, work)

    said = trusting.everything_said(caught.value)
    assert "statement timeout" in said
    assert [secret for secret in known if secret in said] == []
    assert shop.run(alice, bodies) == RED_BODIES


def assert_unseen(text: str, shop: Attached, known: list[str]) -> None:
    """Assert that a text another session reads holds no secret."""
    assert [secret for secret in known if secret in text] == []
    if shop.which in INTERPOLATING:
        assert set(text) == set("/*-")
    else:
        assert "FROM jwtrole.login($2)" in text or "jwtrole.resume($2)" in text


def test_a_neighbour_reads_no_secret_after_the_preamble(
    shop: Attached, neighbour: psycopg.Connection, alice: Identity
) -> None:
    """Between preamble and statement the view shows neither token nor ticket."""
    seen: list[str] = []

    def look(conn: sa.Connection, *_: Any) -> None:
        driver: Any = conn.connection.driver_connection
        pid = (
            driver.get_server_pid()
            if hasattr(driver, "get_server_pid")
            else driver.info.backend_pid
        )
        seen.append(trusting.activity(neighbour, pid))

    sa.event.listen(shop.sync_engine, "before_cursor_execute", look)
    for _ in range(2):
        shop.run(alice, bodies)

    assert len(seen) == 2
    for text in seen:
        assert_unseen(text, shop, secrets(alice, shop))


@pytest.mark.parametrize("kind", ["login", "resume"])
def test_a_neighbour_reads_no_secret_during_the_preamble(
    shop: Attached,
    neighbour: psycopg.Connection,
    server: postgres.Server,
    full: str,
    alice: Identity,
    kind: str,
) -> None:
    """While the preamble runs the view shows neither token nor ticket."""
    shop.run(alice, bodies)
    known = secrets(alice, shop)
    if kind == "login":
        shop.tickets.forget(alice)
    thread = threading.Thread(target=shop.run, args=(alice, bodies))
    with server.connect(postgres.OWNER, full) as owner, owner.transaction():
        owner.execute("LOCK TABLE jwtrole.issuer IN ACCESS EXCLUSIVE MODE")
        thread.start()
        text = trusting.waiting(neighbour)
    thread.join()

    assert_unseen(text, shop, known)


@pytest.mark.parametrize("which", sorted(INTERPOLATING))
def test_without_the_padding_a_neighbour_reads_the_secrets(
    server: postgres.Server,
    full: str,
    verified: JWTRole,
    neighbour: psycopg.Connection,
    alice: Identity,
    which: str,
) -> None:
    """The control: what a driver interpolates is there to be read."""
    with contextlib.closing(Attached(server, full, which, verified)) as shop:
        seen: list[str] = []

        def short(conn: sa.Connection) -> None:
            conn.info["jwtrole.shown"] = 0
            bodies(conn)

        def look(conn: sa.Connection, *_: Any) -> None:
            driver: Any = conn.connection.driver_connection
            seen.append(trusting.activity(neighbour, driver.info.backend_pid))

        sa.event.listen(shop.sync_engine, "before_cursor_execute", look)
        for _ in range(2):
            shop.run(alice, short)

        assert alice.token is not None
        assert alice.token[:300] in seen[0]
        assert secrets(alice, shop)[5] in seen[1]


def test_only_some_cursors_interpolate(shop: Attached, alice: Identity) -> None:
    """A cursor that writes parameters into the text is told from one that binds."""

    def asked(conn: sa.Connection) -> bool:
        return probe.interpolates(conn.connection.cursor())

    assert shop.run(alice, asked) == (shop.which in INTERPOLATING)


FORGED = "SELECT set_config('{}', '{}', true)"


def attacks(ticket: str, bob: Identity) -> dict[str, list[str]]:
    """Return what somebody injects who wants to read the blue rows."""
    claims = bob.claims_json.replace("'", "''")
    take = "SELECT set_config('role', jwtrole.resume('{}'), true)"
    edited = ticket.replace("'", "''").replace(str(RED), str(bob.claims["tenant_id"]))
    return {
        "claims": [FORGED.format("jwtrole.claims", claims)],
        "claims and seal": [
            FORGED.format("jwtrole.claims", claims),
            FORGED.format("jwtrole.seal", "0" * 64 + "Infinity"),
        ],
        "role setting": [FORGED.format("jwtrole.role", "manager")],
        "role": ["SET ROLE manager"],
        "local role": ["SET LOCAL ROLE manager"],
        "own ticket": ["RESET ROLE", take.format(ticket.replace("'", "''"))],
        "edited ticket": ["RESET ROLE", take.format(edited)],
        "no seal": ["RESET jwtrole.seal", "SET ROLE manager"],
    }


@pytest.mark.parametrize("attack", sorted(attacks("", Identity("x", {"tenant_id": 1}))))
def test_injected_sql_reads_no_foreign_row(
    shop: Attached, alice: Identity, bob: Identity, attack: str
) -> None:
    """Settings, roles and tickets within SQL's reach open nobody else's rows."""
    shop.run(alice, bodies)
    ticket = shop.tickets.get(alice)
    assert ticket is not None

    def inject(conn: sa.Connection) -> list[str]:
        bodies(conn)
        try:
            for statement in attacks(ticket, bob)[attack]:
                conn.exec_driver_sql(statement.replace("%", "%%"))
            return bodies(conn)
        except DBAPIError as error:
            return [probe.sqlstate(error.orig) or "?"]

    found = shop.run(alice, inject)

    assert [body for body in found if body.startswith("blue")] == []
    assert found in (
        RED_BODIES if attack in {"own ticket", "role setting"} else [],
        ["JW006"],
        ["JW001"],
    )
    assert shop.run(alice, bodies) == RED_BODIES


def test_the_attacked_rows_are_there(
    shop: Attached, issuer: ThrowawayIssuer, verified: JWTRole
) -> None:
    """The control: a manager's token opens what no injected SQL does."""
    boss = issuer.identity(verified, sub="boss", role="manager")

    assert shop.run(boss, bodies) == ["blue-1", *RED_BODIES]


@pytest.mark.parametrize("which", DRIVERS)
def test_the_same_injection_opens_the_application_mode(
    server: postgres.Server,
    database: str,
    rows: None,
    auth: JWTRole,
    alice: Identity,
    bob: Identity,
    which: str,
) -> None:
    """The control: where the application is trusted, forged claims are believed."""

    def inject(conn: sa.Connection) -> list[str]:
        bodies(conn)
        for statement in attacks("", bob)["claims"]:
            conn.exec_driver_sql(statement)
        return bodies(conn)

    with contextlib.closing(Attached(server, database, which, auth)) as shop:
        assert shop.run(alice, inject) == ["blue-1"]


def test_what_injected_sql_leaves_on_the_session_is_taken_off(
    shop: Attached, alice: Identity
) -> None:
    """A role set for the session does not stop the next login, nor does it stay."""

    def left(conn: sa.Connection) -> None:
        conn.connection.cursor().execute("SET ROLE manager")
        conn.connection.commit()

    assert shop.run(alice, bodies) == RED_BODIES
    shop.run(alice, left)
    for _ in range(2):
        assert shop.run(alice, bodies) == RED_BODIES


@pytest.mark.parametrize("which", DRIVERS)
def test_read_only_transactions_have_identities(
    server: postgres.Server,
    full: str,
    verified: JWTRole,
    alice: Identity,
    which: str,
) -> None:
    """Login and resume write nothing, so that READ ONLY does not stop them."""
    settings = {"default_transaction_read_only": "on"}
    with contextlib.closing(
        Attached(server, full, which, verified, **settings)
    ) as shop:
        for _ in range(2):
            assert shop.run(alice, bodies) == RED_BODIES
        with pytest.raises(DBAPIError, match="read-only"):
            shop.run(alice, add)


@pytest.mark.parametrize("which", DRIVERS)
def test_two_databases_keep_their_tickets_apart(
    server: postgres.Server,
    full: str,
    worker: str,
    verified: JWTRole,
    issuer: ThrowawayIssuer,
    alice: Identity,
    which: str,
) -> None:
    """A token logs in at each database once, and the tickets do not mix."""
    other = f"other_{worker}"
    make_verifying(server, other, issuer)
    with contextlib.ExitStack() as stack:
        stack.callback(server.drop_database, other)
        shops = [Attached(server, name, which, verified) for name in (full, other)]
        for shop in shops:
            stack.callback(shop.close)
        for name in (full, other):
            shops[name == other].run(alice, bodies)
            stack.enter_context(trusting.no_logins(server, name))

        assert [shop.run(alice, bodies) for shop in shops] == [RED_BODIES, []]
        assert len({shop.tickets.get(alice) for shop in shops}) == 2
