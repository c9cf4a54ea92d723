"""A fixed role that inherits another: what it may, and what the seal makes of it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from jwtrole import JWTRole, Role
from jwtrole.begin import Statement, TransactionState, decide, preamble
from jwtrole.errors import ConfigurationError
from jwtrole.gate import Gate
from jwtrole.testing import ThrowawayIssuer
from jwtrole.tickets import Tickets
from tests.database.acting import Attempt
from tests.family import LIMITS, Family, family

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.postgres import Server

#: What else a role may set; none of it may change what a seal is made of.
FORMATS = {
    "datestyle": "SQL, DMY",
    "intervalstyle": "sql_standard",
    "timezone": "Asia/Kathmandu",
    "bytea_output": "escape",
    "extra_float_digits": "-15",
    "lc_numeric": "C",
    "default_text_search_config": "simple",
}


@pytest.fixture(scope="module")
def issuer() -> ThrowawayIssuer:
    """Return the issuer that the database trusts."""
    return ThrowawayIssuer()


@pytest.fixture(scope="module")
def auth(kin: Family, issuer: ThrowawayIssuer) -> JWTRole:
    """Return a configuration in which a member inherits what a reader has."""
    return kin.auth(issuer)


@pytest.fixture(scope="module")
def kin(server: Server, issuer: ThrowawayIssuer) -> Iterator[Family]:
    """Return the roles, in a database that verifies tokens, with notes in it."""
    with family(server) as found:
        found.install(found.auth(issuer))
        found.make_notes()
        yield found


@pytest.fixture
def attempt(kin: Family) -> Iterator[Attempt]:
    """Return the login's connection."""
    with contextlib.closing(kin.server.connect(kin.login, kin.database)) as found:
        yield Attempt(found)


@pytest.fixture
def token(kin: Family, issuer: ThrowawayIssuer) -> str:
    """Return ann's token, which makes her a member."""
    return issuer.mint(sub="ann", role=kin.member)


def test_policies_and_grants_of_the_inherited_role_hold(
    attempt: Attempt, token: str, kin: Family
) -> None:
    """A member reads all notes as a reader does, and changes its own as a member."""
    assert attempt.log_in(token)[0] == kin.member

    assert attempt.run("SELECT body FROM note ORDER BY id") == [("a",), ("b",)]
    changed = attempt.run("UPDATE note SET body = 'c' RETURNING author")
    assert changed == [("ann",)]
    attempt.end()


def test_the_seal_is_the_members(attempt: Attempt, token: str, kin: Family) -> None:
    """It holds for the member alone, from a login and from a ticket alike."""
    ticket = attempt.ticket(token)

    for begin in (lambda: attempt.log_in(token), lambda: attempt.resume(ticket)):
        begin()
        assert attempt.sealed
        assert attempt.value("SELECT jwtrole.claim('sub')") == "ann"
        attempt.run(f"SELECT jwtrole.require('{kin.member}')")
        for other in (kin.reader, kin.manager):
            refused = attempt.refused(f"SELECT jwtrole.require('{other}')")
            assert refused == "JW005"
        attempt.end()


def test_no_token_becomes_the_inherited_role(
    attempt: Attempt, token: str, kin: Family
) -> None:
    """From PostgreSQL 16 on nobody can SET ROLE to it; before, it opens no row."""
    attempt.log_in(token)
    become = f'SET LOCAL ROLE "{kin.reader}"'

    if attempt.connection.info.server_version >= 160000:
        assert attempt.refused(become) == "42501"
    else:
        attempt.run(become)
        assert attempt.nobody
        assert attempt.run("SELECT * FROM note") == []
    attempt.end()


def test_who_merely_becomes_a_member_reads_nothing(
    attempt: Attempt, kin: Family
) -> None:
    """Without a token the policies of the inherited role open no row either."""
    attempt.run("BEGIN", f'SET LOCAL ROLE "{kin.member}"')

    assert attempt.run("SELECT * FROM note") == []
    assert attempt.nobody
    attempt.end()


@pytest.mark.parametrize(
    ("change", "undo", "why"),
    [
        ("ALTER ROLE {} LOGIN", "ALTER ROLE {} NOLOGIN", "may log in"),
        ("ALTER ROLE {} BYPASSRLS", "ALTER ROLE {} NOBYPASSRLS", "bypasses row"),
        ("CREATE SCHEMA owned AUTHORIZATION {}", "DROP SCHEMA owned", "owns objects"),
    ],
)
def test_a_fixed_role_is_unfit_through_what_it_inherits(
    change: str, undo: str, why: str, attempt: Attempt, token: str, kin: Family
) -> None:
    """A fixed role may inherit a fixed one, and no power of it unnoticed."""
    with kin.admin() as admin:
        asked = "SELECT jwtrole._unfit(%s)"
        assert admin.execute(asked, (kin.member,)).fetchone() == (None,)
        admin.execute(change.format(kin.reader).encode())
        row: Any = admin.execute(asked, (kin.member,)).fetchone()
        refused = attempt.login_refused(token)
        admin.execute(undo.format(kin.reader).encode())

    assert f"it is a member of {kin.reader}, which {why}" in row[0]
    assert refused == "JW005"


# Settings


def test_settings_go_on_and_off_with_the_role(
    attempt: Attempt, auth: JWTRole, token: str
) -> None:
    """Login and resume put them on for one transaction; a runaway query ends."""
    tickets, who = Tickets(), auth.verify(token)
    now = [f"SELECT current_setting('{name}', true)" for name in LIMITS]
    before = [attempt.value(query) for query in now]
    for kind in ("login", "resume"):
        attempt.run("BEGIN")
        *_, asked = _put_on(attempt, preamble(who, "tests", tickets, auth.settings))
        assert asked.kind == kind
        if kind == "login":
            tickets.keep(who, *_row)
        assert [attempt.value(query) for query in now] == list(LIMITS.values())
        assert attempt.refused("SELECT pg_sleep(5)") == "57014"
        assert attempt.sealed
        attempt.end()
        assert [attempt.value(query) or None for query in now] == before


_row: list[Any] = []


def _put_on(
    attempt: Attempt, statements: tuple[Statement, ...]
) -> tuple[Statement, ...]:
    for statement in statements:
        rows = attempt.run(
            statement.with_percent(), arguments=statement.parameters or None
        )
        _row[:] = rows[0][-2:] if rows else []
    return statements


def test_no_format_that_a_role_sets_breaks_its_seal(
    attempt: Attempt, kin: Family, issuer: ThrowawayIssuer, token: str
) -> None:
    """Dates, numbers and bytes look another way, and the claims are the same."""
    role = Role(kin.member, inherits=[kin.reader], settings=FORMATS)
    auth = JWTRole([issuer.issuer], [role])
    tickets, who = Tickets(), auth.verify(token)

    for _ in ("login", "resume"):
        attempt.run("BEGIN")
        asked = _put_on(attempt, preamble(who, "tests", tickets, auth.settings))
        if asked[-1].kind == "login":
            tickets.keep(who, *_row)
        assert attempt.value("SHOW datestyle") == FORMATS["datestyle"]
        assert attempt.value("SELECT jwtrole.claim('sub')") == "ann"
        assert len(attempt.run("SELECT * FROM note")) == 2
        attempt.end()


def test_settings_leave_with_the_identity_inside_one_transaction(
    attempt: Attempt, auth: JWTRole, kin: Family, issuer: ThrowawayIssuer
) -> None:
    """Where tests change it, who comes next has none of the limits of who went."""
    member = auth.verify(issuer.mint(sub="ann", role=kin.member))
    manager = auth.verify(issuer.mint(sub="meg", role=kin.manager))
    now = [f"SELECT current_setting('{name}', true)" for name in LIMITS]
    default = attempt.value(now[0])
    attempt.run("BEGIN")
    _put_on(attempt, preamble(member, "tests", Tickets(), auth.settings))

    changed = decide(
        TransactionState.OPEN, manager, worn=member, reported="", app_name="tests",
        may_change=True, tickets=Tickets(), settings=auth.settings,
    )  # fmt: skip
    _put_on(attempt, changed)

    assert [attempt.value(query) or "" for query in now] == [default, ""]
    attempt.end()


def test_the_gate_sees_policies_of_inherited_roles(
    attempt: Attempt, auth: JWTRole, kin: Family
) -> None:
    """A policy that reads a setting is refused, also where it is an inherited one."""
    kin.run(
        "CREATE TABLE leaky (id int)",
        "ALTER TABLE leaky ENABLE ROW LEVEL SECURITY",
        f'CREATE POLICY leak ON leaky TO "{kin.reader}"'
        " USING (current_setting('app.open') = 'yes')",
    )

    def run(statement: Statement) -> Any:
        parameters = statement.parameters or None
        return attempt.run(statement.with_percent(), arguments=parameters)[0]

    with pytest.raises(ConfigurationError, match="leak on leaky"):
        Gate(auth).ask(run)
    kin.run("DROP TABLE leaky")
    Gate(auth).ask(run)


# What the bootstrap makes of it


def test_a_role_that_is_only_inherited_is_made(kin: Family) -> None:
    """It exists, and the login cannot become it."""
    assert kin.members() == {(kin.reader, kin.member)}
    with kin.admin() as admin:
        row = admin.execute(
            "SELECT count(*) FROM pg_auth_members AS a"
            " WHERE a.member = %s::regrole AND a.roleid = %s::regrole",
            (kin.login, kin.reader),
        ).fetchone()
    assert row == (0,)


def test_a_membership_is_inherited_and_no_way_to_become_it(kin: Family) -> None:
    """From PostgreSQL 16 on it says INHERIT TRUE, SET FALSE; before, it cannot."""
    with kin.admin() as admin:
        row = admin.execute(
            "SELECT a.admin_option, to_jsonb(a) -> 'inherit_option',"
            " to_jsonb(a) -> 'set_option' FROM pg_auth_members AS a"
            " WHERE a.member = %s::regrole AND a.roleid = %s::regrole",
            (kin.member, kin.reader),
        ).fetchone()
        options = admin.info.server_version >= 160000

    assert row == ((False, True, False) if options else (False, None, None))


def test_inheritance_follows_the_declaration(server: Server) -> None:
    """Told twice nothing changes; turned round it turns; undeclared it is taken."""
    with family(server) as kin:
        declared = {(kin.reader, kin.member)}
        kin.bootstrap()
        assert kin.members() == declared

        kin.bootstrap(Role(kin.reader, inherits=[kin.member]))
        assert kin.members() == {(kin.member, kin.reader)}

        kin.bootstrap(kin.reader, kin.member)
        assert kin.members() == set()


def test_what_is_not_declared_here_keeps_what_it_inherits(server: Server) -> None:
    """Only between two roles that are declared is inheritance taken away."""
    with family(server) as kin:
        with kin.admin() as admin:
            admin.execute(f"GRANT {kin.manager} TO {kin.login}".encode())
            admin.execute(f"GRANT {kin.reader} TO {kin.manager}".encode())
        kin.bootstrap(kin.member, kin.reader)

        assert kin.members() == {(kin.reader, kin.manager)}


def test_a_setting_the_server_does_not_take_ends_the_bootstrap(
    server: Server,
) -> None:
    """A value that would make every statement fail is found while roles are made."""
    with family(server) as kin:
        silly = Role(kin.member, settings={"statement_timeout": "two parsecs"})

        with pytest.raises(psycopg.errors.InvalidParameterValue, match="parsecs"):
            kin.bootstrap(silly)
        assert kin.members() == {(kin.reader, kin.member)}
