from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from jwtrole.begin import (
    Nobody,
    Statement,
    TransactionState,
    decide,
    preamble,
    sentinel,
    wanted,
)
from jwtrole.context import UNSET
from jwtrole.errors import IdentityChanged, NoIdentity, TokenExpired
from jwtrole.identity import Identity
from jwtrole.tickets import Tickets
from tests import postgres

if TYPE_CHECKING:
    from tests.jwtrole.conftest import Sandbox

IDLE, OPEN, FAILED = TransactionState
APP = "shop"
WANT = Identity("member", {"sub": "ann", "tenant_id": "1"}, issuer="https://id.test/")
OTHER = Identity("member", {"sub": "bob", "tenant_id": "2"}, issuer="https://id.test/")
PUT_ON = preamble(WANT, APP)

STATES = {"idle": IDLE, "open": OPEN, "failed": FAILED}
WORN = {"none": None, "wanted": WANT, "other": OTHER}
REPORTED = {
    "wanted": sentinel(WANT, APP),
    "other": sentinel(OTHER, APP),
    "undone": "psql",
}
MAY = {"may": True, "may not": False}

# State, worn, reported, may change: what then. Reported "wanted" where another is worn,
# or "other" where the wanted is, is a sentinel that somebody forged.
TABLE = {
    ("failed", "*", "*", "*"): "nothing",
    ("idle", "*", "*", "*"): "put on",
    ("open", "none", "*", "*"): "put on",
    ("open", "wanted", "wanted", "*"): "nothing",
    ("open", "wanted", "other", "*"): "put on",
    ("open", "wanted", "undone", "*"): "put on",
    ("open", "other", "*", "may not"): "refused",
    ("open", "other", "*", "may"): "settled, put on",
}
ALL_ROWS = list(itertools.product(STATES, WORN, REPORTED, MAY))


def answers(row: tuple[str, ...]) -> list[str]:
    """Return what the table says of a row: one answer, if the table is good."""
    return [
        answer
        for pattern, answer in TABLE.items()
        if all(p in {"*", cell} for p, cell in zip(pattern, row, strict=True))
    ]


def run(connection: psycopg.Connection, *statements: Statement) -> None:
    """Send statements as a driver does whose placeholder is ``%s``."""
    for statement in statements:
        connection.execute(statement.with_percent().encode(), statement.parameters)


def in_force(connection: psycopg.Connection) -> tuple[Any, ...]:
    """Return the role and the settings that a preamble touches."""
    row = connection.execute(
        "SELECT current_user, coalesce(current_setting('jwtrole.role', true), ''),"
        " coalesce(current_setting('jwtrole.claims', true), ''),"
        " coalesce(current_setting('request.jwt.claims', true), ''),"
        " current_setting('application_name')"
    ).fetchone()
    assert row is not None
    return row


def reported(connection: psycopg.Connection) -> str | None:
    """Return the application name the server reported last, without asking it."""
    return connection.info.parameter_status("application_name")


def test_the_table_is_total() -> None:
    """Each combination of the four facts has one row of the table, no more."""
    assert [1] * len(ALL_ROWS) == [len(answers(row)) for row in ALL_ROWS]


@pytest.mark.parametrize("row", ALL_ROWS, ids=", ".join)
def test_each_row_of_the_table_is_decided_so(row: tuple[str, ...]) -> None:
    """State, worn identity, report and permission decide as the table says."""
    state, worn, report, may = row
    facts: dict[str, Any] = {
        "worn": WORN[worn],
        "reported": REPORTED[report],
        "app_name": APP,
        "may_change": MAY[may],
    }

    match answers(row)[0]:
        case "nothing":
            assert decide(STATES[state], WANT, **facts) == ()
        case "put on":
            assert decide(STATES[state], WANT, **facts) == PUT_ON
        case "settled, put on":
            *settling, last = decide(STATES[state], WANT, **facts)
            assert [s.sql for s in settling] == [
                "CLOSE ALL",
                "SET CONSTRAINTS ALL IMMEDIATE",
                "SET CONSTRAINTS ALL DEFERRED",
            ]
            assert (last,) == PUT_ON
        case _:
            with pytest.raises(IdentityChanged):
                decide(STATES[state], WANT, **facts)


def test_a_change_is_refused_with_both_roles_and_no_claim() -> None:
    """The refusal says which role is in force and which is wanted, and no claim."""
    manager = Identity("manager", {"sub": "carol"})

    with pytest.raises(IdentityChanged, match=r"'member'.*'manager'") as caught:
        decide(OPEN, manager, worn=WANT, reported=sentinel(WANT, APP), app_name=APP)

    assert (caught.value.in_force, caught.value.wanted) == ("member", "manager")
    assert "ann" not in str(caught.value)
    assert "carol" not in str(caught.value)


def test_nobody_and_an_identity_of_one_role_differ() -> None:
    """Who runs outside requests is never taken for an identity of the same role."""
    facts: dict[str, Any] = {"reported": "psql", "app_name": APP}

    with pytest.raises(IdentityChanged):
        decide(OPEN, Nobody("member"), worn=WANT, **facts)
    with pytest.raises(IdentityChanged):
        decide(OPEN, WANT, worn=Nobody("member"), **facts)
    with pytest.raises(IdentityChanged):
        decide(OPEN, Nobody("member"), worn=Nobody("manager"), **facts)


@pytest.mark.parametrize(
    ("state", "worn", "may_change"),
    [
        (IDLE, None, False),
        (IDLE, WANT, False),
        (OPEN, None, False),
        (OPEN, OTHER, True),
    ],
)
def test_an_expired_identity_begins_nothing(
    state: TransactionState, worn: Identity | None, may_change: bool
) -> None:
    """A token whose time is over is refused before a transaction runs as it."""
    late = Identity(
        "member", {"sub": "ann"}, issuer="https://id.test/", expires=time.time() - 1
    )

    with pytest.raises(TokenExpired, match="before the transaction began") as caught:
        decide(state, late, worn=worn, reported="", app_name=APP, may_change=may_change)

    assert caught.value.issuer == "https://id.test/"


def test_an_identity_that_expires_inside_its_transaction_stays() -> None:
    """A transaction that began in time ends as it began, savepoints included."""
    late = Identity("member", {"sub": "ann"}, expires=time.time() - 1)

    kept = decide(OPEN, late, worn=late, reported=sentinel(late, APP), app_name=APP)
    again = decide(OPEN, late, worn=late, reported="psql", app_name=APP)

    assert (kept, again) == ((), preamble(late, APP))


def test_an_identity_in_time_begins() -> None:
    """A token whose time lasts puts its identity on."""
    good = Identity("member", {"sub": "ann"}, expires=time.time() + 60)

    assert preamble(good, APP) == decide(
        IDLE, good, worn=None, reported="", app_name=APP
    )


def test_who_is_acting_is_wanted() -> None:
    """An acting identity is wanted whatever else is configured."""
    anonymous, outside = Identity("anon"), Nobody("app_owner")

    assert wanted(WANT, anonymous=None) is WANT
    assert wanted(WANT, anonymous=anonymous, outside=outside) is WANT


def test_nobody_acting_is_the_anonymous_role_where_there_is_one() -> None:
    """Without a token, and outside requests, the anonymous identity is wanted."""
    anonymous = Identity("anon")

    assert wanted(None, anonymous=anonymous) is anonymous
    assert wanted(UNSET, anonymous=anonymous) is anonymous


def test_only_outside_requests_does_the_outside_role_count() -> None:
    """A request without a token never runs as whoever runs outside requests."""
    anonymous, outside = Identity("anon"), Nobody("app_owner")

    assert wanted(UNSET, anonymous=anonymous, outside=outside) is outside
    assert wanted(None, anonymous=anonymous, outside=outside) is anonymous
    with pytest.raises(NoIdentity):
        wanted(None, anonymous=None, outside=outside)


def test_nobody_acting_and_no_anonymous_role_is_refused() -> None:
    """Without any identity to run as the statement is not sent."""
    with pytest.raises(NoIdentity, match="was not sent: run it inside acting_as"):
        wanted(UNSET, anonymous=None)


TOKEN = "a.token.here"
HELD = Identity("member", {"sub": "ann"}, expires=time.time() + 600, token=TOKEN)


def asked(who: Identity | Nobody, tickets: Tickets) -> list[Statement]:
    """Return the preamble where the database verifies tokens itself."""
    return list(preamble(who, APP, tickets))


def test_a_database_that_verifies_is_given_the_token_first() -> None:
    """Without a ticket the login is asked for, with the token bound to it."""
    none, login = asked(HELD, Tickets())

    assert none == Statement("SELECT pg_catalog.set_config('role', 'none', true)")
    assert (login.kind, login.parameters) == ("login", (sentinel(HELD, APP), TOKEN))
    assert "jwtrole.login($2)" in login.sql


def test_a_database_that_verifies_is_given_the_ticket_later() -> None:
    """With a ticket the token stays at home, until the ticket is forgotten."""
    tickets = Tickets()
    tickets.keep(HELD, "the ticket", time.time() + 600)

    none, resume = asked(HELD, tickets)

    assert none.kind == "plain"
    assert resume.kind == "resume"
    assert resume.parameters == (sentinel(HELD, APP), "the ticket")
    assert "jwtrole.resume($2)" in resume.sql
    tickets.forget(HELD)
    assert asked(HELD, tickets)[-1].kind == "login"


def test_a_database_that_verifies_gives_the_anonymous_role() -> None:
    """Who has no token is whom the database lets be anonymous."""
    none, anonymous = asked(Identity("anon"), Tickets())

    assert none.kind == "plain"
    assert anonymous.kind == "anonymous"
    assert anonymous.parameters == (sentinel(Identity("anon"), APP),)
    assert "jwtrole.anonymous()" in anonymous.sql


def test_claims_without_a_token_are_refused_where_the_database_verifies() -> None:
    """An identity made by hand is refused without a word of its claims."""
    with pytest.raises(NoIdentity, match="without a token cannot act") as caught:
        asked(Identity("member", {"sub": "the subject"}), Tickets())

    assert "the subject" not in str(caught.value)


def test_nobody_needs_no_token_where_the_database_verifies() -> None:
    """Outside requests tests run as their role in either mode."""
    who = Nobody("app_owner")

    assert preamble(who, APP, Tickets()) == preamble(who, APP)


@pytest.mark.parametrize(
    ("state", "worn", "count"), [(IDLE, None, 2), (OPEN, HELD, 2), (OPEN, OTHER, 5)]
)
def test_what_is_decided_asks_the_database_that_verifies(
    state: TransactionState, worn: Identity | None, count: int
) -> None:
    """At the beginning, after an undoing and after a change the token is sent."""
    facts: dict[str, Any] = {"worn": worn, "reported": "psql", "app_name": APP}

    found = decide(state, HELD, may_change=True, tickets=Tickets(), **facts)

    assert len(found) == count
    assert found[-1].kind == "login"


def test_no_statement_shows_what_it_carries() -> None:
    """Neither token nor ticket is in the text or the repr of a statement."""
    tickets = Tickets()
    first = asked(HELD, tickets)
    tickets.keep(HELD, "the ticket", time.time() + 600)

    for statement in (*first, *asked(HELD, tickets)):
        shown = f"{statement.sql} {statement!r} {statement.with_percent()}"
        assert TOKEN not in shown
        assert "the ticket" not in shown


@pytest.mark.parametrize(
    ("app", "role"),
    [
        ("shop", "member"),
        ("", "r"),
        ("a" * 200, "r" * 63),
        ("ä" * 200, "ü" * 31),
        ("日本" * 30, "役" * 21),
        ("\N{PILE OF POO}" * 9, "\N{PILE OF POO}" * 15),
        ("tab\tline\nbell\a", "del\x7f"),
        (" lead", "trail "),
        ("100%s'\"\\$1:", "o'clock:"),
    ],
)
def test_a_sentinel_fits_and_is_reported_back(
    login: psycopg.Connection, app: str, role: str
) -> None:
    """PostgreSQL reports each sentinel back byte for byte, however odd the names."""
    expected = sentinel(Identity(role, {"sub": "ann"}), app)

    login.execute("SELECT set_config('application_name', %s, false)", (expected,))

    assert expected == reported(login)
    assert len(expected.encode()) <= 63
    assert expected.isascii()


def test_the_hash_of_a_sentinel_is_never_cut() -> None:
    """However long the names are, two identities have two sentinels."""
    long = "r" * 63
    one, two = (Identity(long, {"sub": sub}) for sub in ("ann", "bob"))

    assert sentinel(one, "a" * 99).endswith(f":{one.fingerprint}")
    assert sentinel(one, "a" * 99) != sentinel(two, "a" * 99)
    assert sentinel(Nobody(long), "a" * 99).endswith(":nobody")


def test_a_sentinel_shows_application_and_role_and_no_claim() -> None:
    """A log line's application name tells who runs, without any claim's value."""
    assert sentinel(WANT, APP) == f"shop:member:{WANT.fingerprint}"
    assert "ann" not in sentinel(WANT, APP)


def test_values_are_bound_and_never_shown() -> None:
    """Role, claims and sentinel stand in the parameters, in no text and no repr."""
    [statement] = preamble(WANT, APP)

    assert ("member", WANT.claims_json, sentinel(WANT, APP)) == statement.parameters
    for text in (statement.sql, statement.with_percent(), repr(statement)):
        assert "member" not in text
        assert "ann" not in text
        assert "shop" not in text


def test_placeholders_come_in_both_styles() -> None:
    """Each parameter is used once and in order, so that %s means the same as $n."""
    [statement] = preamble(WANT, APP)
    pieces = statement.sql.split("$")[1:]

    assert [piece[0] for piece in pieces] == ["1", "2", "3"]
    assert statement.with_percent().count("%s") == 3
    assert "$" not in statement.with_percent()
    assert Statement("SELECT 1") == Statement("SELECT 1", ())


def test_the_preamble_puts_role_claims_and_name_on(login: psycopg.Connection) -> None:
    """Inside the transaction the role, the claims and the sentinel are in force."""
    with login.transaction():
        run(login, *PUT_ON)

        assert in_force(login) == (
            "member",
            "member",
            WANT.claims_json,
            WANT.claims_json,
            sentinel(WANT, APP),
        )
        assert sentinel(WANT, APP) == reported(login)


def test_numbered_placeholders_are_what_the_server_reads(
    login: psycopg.Connection,
) -> None:
    """The text with $1, $2, $3 runs as it stands where a driver binds by number."""
    [statement] = PUT_ON

    with login.transaction():
        psycopg.RawCursor(login).execute(statement.sql.encode(), statement.parameters)

        assert sentinel(WANT, APP) == reported(login)
        assert in_force(login)[2] == WANT.claims_json


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
def test_the_end_of_the_transaction_takes_everything_away(
    login: psycopg.Connection, end: str
) -> None:
    """After COMMIT and after ROLLBACK the connection is the bare login role again."""
    login.execute("SET application_name = 'bare'")
    login.execute("BEGIN")
    run(login, *PUT_ON)

    login.execute(end.encode())

    assert reported(login) == "bare"
    assert in_force(login) == (postgres.LOGIN, "", "", "", "bare")


def test_the_report_shows_a_preamble_that_was_undone(login: psycopg.Connection) -> None:
    """ROLLBACK TO a point before the preamble shows at once, and decide mends it."""
    login.execute("BEGIN")
    login.execute("SAVEPOINT first")
    run(login, *PUT_ON)
    login.execute("ROLLBACK TO first")
    assert in_force(login)[0] == postgres.LOGIN

    again = decide(OPEN, WANT, worn=WANT, reported=reported(login) or "", app_name=APP)
    run(login, *again)

    assert in_force(login)[0] == "member"
    assert not decide(
        OPEN, WANT, worn=WANT, reported=reported(login) or "", app_name=APP
    )
    login.execute("ROLLBACK")


def test_the_report_shows_a_chained_transaction(login: psycopg.Connection) -> None:
    """COMMIT AND CHAIN opens a transaction of nobody, which shows and is mended."""
    login.execute("BEGIN")
    run(login, *PUT_ON)
    login.execute("COMMIT AND CHAIN")
    assert in_force(login)[0] == postgres.LOGIN

    again = decide(OPEN, WANT, worn=WANT, reported=reported(login) or "", app_name=APP)

    assert again == PUT_ON
    login.execute("ROLLBACK")


def test_a_neighbour_session_reads_no_claim(
    login: psycopg.Connection, admin: psycopg.Connection
) -> None:
    """What the activity view shows of a preamble holds no claim's value."""
    with login.transaction():
        run(login, *PUT_ON)
        row = admin.execute(
            "SELECT query, application_name FROM pg_stat_activity WHERE pid = %s",
            (login.info.backend_pid,),
        ).fetchone()

    assert row is not None
    query, name = row
    assert "set_config" in query
    assert "tenant_id" not in query
    assert "ann" not in query
    assert name == sentinel(WANT, APP)


def test_a_role_that_is_not_granted_is_refused(login: psycopg.Connection) -> None:
    """The login role becomes no role it was not given, and the claims stay off."""
    with pytest.raises(psycopg.errors.InsufficientPrivilege), login.transaction():
        run(login, *preamble(Identity(postgres.OWNER), APP))

    assert in_force(login)[:3] == (postgres.LOGIN, "", "")


def test_nobody_wears_a_role_and_no_claims(sandbox: Sandbox) -> None:
    """Outside requests tests run as a role without claims, hence without a seal."""
    sandbox.become(Nobody(postgres.OWNER))

    assert in_force(sandbox.connection)[:4] == (postgres.OWNER, postgres.OWNER, "", "")
    assert sandbox.run("SELECT jwtrole.sealed()") == [(False,)]


def test_what_is_deferred_is_checked_before_another_comes(sandbox: Sandbox) -> None:
    """A deferred constraint fails where its identity ends, not at a later COMMIT."""
    sandbox.owner(
        "CREATE TABLE parent (id int PRIMARY KEY)",
        "CREATE TABLE child (parent int REFERENCES parent"
        " DEFERRABLE INITIALLY DEFERRED)",
        "INSERT INTO child VALUES (1)",
    )
    change = decide(OPEN, WANT, worn=OTHER, reported="", app_name=APP, may_change=True)

    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        run(sandbox.connection, *change)


def test_what_is_deferred_stays_deferred_for_the_next(sandbox: Sandbox) -> None:
    """After a change constraints wait again, as they did before it."""
    sandbox.owner(
        "CREATE TABLE parent (id int PRIMARY KEY)",
        "CREATE TABLE child (parent int REFERENCES parent"
        " DEFERRABLE INITIALLY DEFERRED)",
    )
    run(
        sandbox.connection,
        *decide(OPEN, WANT, worn=OTHER, reported="", app_name=APP, may_change=True),
    )
    sandbox.owner("INSERT INTO child VALUES (1)", "INSERT INTO parent VALUES (1)")

    assert sandbox.run("SET CONSTRAINTS ALL IMMEDIATE") == []


def test_a_cursor_does_not_outlive_who_opened_it(sandbox: Sandbox) -> None:
    """Whoever comes next fetches from no cursor of the identity before."""
    sandbox.acting(OTHER, "DECLARE mine CURSOR FOR SELECT generate_series(1, 3)")
    run(
        sandbox.connection,
        *decide(OPEN, WANT, worn=OTHER, reported="", app_name=APP, may_change=True),
    )

    assert sandbox.refused("FETCH mine") == "34000"
