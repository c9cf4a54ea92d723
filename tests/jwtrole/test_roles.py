from __future__ import annotations

import contextlib
import itertools
import uuid
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql

from jwtrole import roles
from jwtrole.errors import ConfigurationError
from jwtrole.identity import Identity
from jwtrole.install import OWNER_ROLE
from jwtrole.roles import PRIVILEGES, Grant, bootstrap
from tests import postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.jwtrole.conftest import Sandbox

MEMBER = Identity("member", {"sub": "ann"})
PAST_ROW_SECURITY = ("TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN", "ALL")


# Grants


def test_a_grant_gives_what_it_says_and_no_more(sandbox: Sandbox) -> None:
    """Whole-table and column privileges are given, and each other stays refused."""
    grant = Grant(table="note", role="member", on=("SELECT", "INSERT", "UPDATE(body)"))
    sandbox.owner("CREATE TABLE note (title text, body text)", *grant.grant())
    sandbox.become(MEMBER)

    assert sandbox.run(
        "INSERT INTO note VALUES ('t', 'b')", "UPDATE note SET body = 'c' RETURNING *"
    ) == [("t", "c")]
    assert sandbox.refused("UPDATE note SET title = 'x'") == "42501"
    assert sandbox.refused("DELETE FROM note") == "42501"
    assert sandbox.refused("TRUNCATE note") == "42501"


def test_a_revoke_takes_the_same_away(sandbox: Sandbox) -> None:
    """Revoking a grant leaves no privilege of it, on columns neither."""
    grant = Grant(
        table="note",
        role="member",
        on=("SELECT(body, title)", "INSERT", "UPDATE", "DELETE"),
    )
    sandbox.owner("CREATE TABLE note (title text, body text)", *grant.grant())
    sandbox.run(*grant.revoke())
    sandbox.become(MEMBER)

    for statement in (
        "SELECT body FROM note",
        "INSERT INTO note VALUES ('t', 'b')",
        "UPDATE note SET body = 'c'",
        "DELETE FROM note",
    ):
        assert sandbox.refused(statement) == "42501"


def test_a_grant_to_public_is_for_everybody(sandbox: Sandbox) -> None:
    """PUBLIC, spelled out, means each role; in a schema, that schema's table."""
    grant = Grant(schema="s", table="note", role="PUBLIC", on=("SELECT",))
    sandbox.owner(
        "CREATE SCHEMA s",
        "GRANT USAGE ON SCHEMA s TO PUBLIC",
        "CREATE TABLE s.note (body text)",
        *grant.grant(),
    )

    assert sandbox.acting(Identity("anon"), "SELECT * FROM s.note") == []


def test_odd_columns_mean_themselves(sandbox: Sandbox) -> None:
    """A column's name is quoted, however it looks."""
    odd = 'it\'s "a\\b" Ü $1'
    grant = Grant(table="note", role="member", on=(f"UPDATE({odd})", f"SELECT ({odd})"))
    quoted = '"' + odd.replace('"', '""') + '"'
    sandbox.owner(f"CREATE TABLE note ({quoted} text, other text)", *grant.grant())
    sandbox.become(MEMBER)

    assert sandbox.run(f"UPDATE note SET {quoted} = 'x' RETURNING {quoted}") == []
    assert sandbox.refused("SELECT other FROM note") == "42501"


def test_a_grant_reads_the_same_however_it_is_written() -> None:
    """Order, spaces and repeated columns make no other grant of it."""
    one = Grant(table="t", role="r", on=("UPDATE ( b,a , b )", " SELECT"))
    two = Grant(table="t", role="r", on=("SELECT", "UPDATE(a, b)"))

    assert one == two
    assert one.grant() == ('GRANT SELECT, UPDATE ("a", "b") ON TABLE "t" TO "r"',)
    assert one.revoke() == ('REVOKE SELECT, UPDATE ("a", "b") ON TABLE "t" FROM "r"',)


@pytest.mark.parametrize(
    "privilege",
    [
        *PAST_ROW_SECURITY,
        *(f"{privilege}(a)" for privilege in PAST_ROW_SECURITY),
        "ALL PRIVILEGES",
        "SELECT, TRUNCATE",
        "SELECT(a), TRUNCATE",
        "SELECT(a",
        "SELECT()",
        "SELECT( )",
        "SELECT(a,)",
        "SELECT((a))",
        "DELETE(a)",
        "select",
        "USAGE",
        "",
    ],
)
def test_what_cannot_be_granted_is_refused(privilege: str) -> None:
    """Whatever works past row security, or is no privilege, fails where it stands."""
    with pytest.raises(ConfigurationError, match="cannot be granted; use SELECT"):
        Grant(table="t", role="r", on=("SELECT", privilege))


@pytest.mark.parametrize("privilege", PRIVILEGES)
def test_what_can_be_granted_obeys_row_security(
    sandbox: Sandbox, privilege: str
) -> None:
    """With row security on and no policy each privilege there is touches no row."""
    grant = Grant(table="note", role="member", on=(privilege,))
    statement = {
        "SELECT": "SELECT 1 FROM note",
        "INSERT": "INSERT INTO note DEFAULT VALUES",
        "UPDATE": "UPDATE note SET body = 'x' RETURNING 1",
        "DELETE": "DELETE FROM note",
    }[privilege]
    sandbox.owner(
        "CREATE TABLE note (body text)",
        "INSERT INTO note VALUES ('kept')",
        "ALTER TABLE note ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE note FORCE ROW LEVEL SECURITY",
        *grant.grant(),
        "GRANT SELECT ON note TO member",
    )
    sandbox.become(MEMBER)

    if privilege == "INSERT":
        assert sandbox.refused(statement) == "42501"
    else:
        assert sandbox.run(statement) == []
    sandbox.owner("ALTER TABLE note NO FORCE ROW LEVEL SECURITY")
    assert sandbox.run("SELECT body FROM note") == [("kept",)]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"on": ()}, "on= is a list"),
        ({"on": "SELECT"}, "on= is a list"),
        ({"role": "public"}, "spell 'PUBLIC'"),
        ({"role": ""}, "'' is not a name"),
        ({"role": "r" * 64}, "has 64 bytes"),
    ],
)
def test_a_grant_that_cannot_work_is_refused(
    change: dict[str, Any], complaint: str
) -> None:
    """A declaration that PostgreSQL would refuse or misread fails where it stands."""
    given = {"table": "t", "role": "r", "on": ("SELECT",)}

    with pytest.raises(ConfigurationError, match=complaint):
        Grant(**{**given, **change})


# The bootstrap


class Cast:
    """Be role names that no other test has, and what a bootstrap makes of them.

    Args:
        tag: Ends each name.
    """

    def __init__(self, tag: str) -> None:
        self.owner = f"owner_{tag}"
        self.login = f"login_{tag}"
        self.test = f"test_{tag}"
        self.member = f"member {tag}"
        self.odd = f'it\'s "odd" \\ $do$ {{x}} %s é {tag}'
        self.anonymous = f"anon_{tag}"
        self.fixed = (self.member, self.odd, self.anonymous)

    @property
    def names(self) -> tuple[str, ...]:
        """Return all names, in the order in which they can be dropped."""
        return (self.test, self.login, self.owner, *self.fixed)

    def statements(self, **changes: Any) -> tuple[str, ...]:
        """Return the bootstrap of these roles."""
        given: dict[str, Any] = {
            "owner": self.owner,
            "login": self.login,
            "roles": [self.member, self.odd],
            "anonymous": self.anonymous,
            "test": self.test,
        }
        return bootstrap(**{**given, **changes})


def execute(connection: psycopg.Connection, statements: Sequence[str]) -> None:
    """Run statements as they stand."""
    for statement in statements:
        connection.execute(statement.encode())


def drop(admin: psycopg.Connection, *names: str) -> None:
    """Drop roles that are there, with what they own and were granted here."""
    for name in names:
        if admin.execute("SELECT FROM pg_roles WHERE rolname = %s", (name,)).rowcount:
            quoted = sql.Identifier(name)
            admin.execute(sql.SQL("DROP OWNED BY {}").format(quoted))
            admin.execute(sql.SQL("DROP ROLE {}").format(quoted))


@pytest.fixture
def cast(admin: psycopg.Connection) -> Iterator[Cast]:
    """Return fresh role names; whatever was made of them is dropped."""
    found = Cast(uuid.uuid4().hex[:8])
    yield found
    drop(admin, *found.names)


@pytest.fixture
def made(cast: Cast, admin: psycopg.Connection) -> Cast:
    """Return roles that a superuser's bootstrap made."""
    execute(admin, cast.statements())
    return cast


@pytest.fixture
def connect(
    server: postgres.Server, database: str
) -> Iterator[Callable[[str], psycopg.Connection]]:
    """Return a function that connects as a role to the worker's database."""
    with contextlib.ExitStack() as stack:

        def connecting(user: str) -> psycopg.Connection:
            connection = server.connect(user, database)
            return stack.enter_context(contextlib.closing(connection))

        yield connecting


def attributes(admin: psycopg.Connection, name: str) -> str:
    """Return a role's attributes that are on."""
    row = admin.execute(
        "SELECT concat_ws(' ', CASE WHEN rolsuper THEN 'SUPERUSER' END,"
        " CASE WHEN rolinherit THEN 'INHERIT' END,"
        " CASE WHEN rolcreaterole THEN 'CREATEROLE' END,"
        " CASE WHEN rolcreatedb THEN 'CREATEDB' END,"
        " CASE WHEN rolcanlogin THEN 'LOGIN' END,"
        " CASE WHEN rolreplication THEN 'REPLICATION' END,"
        " CASE WHEN rolbypassrls THEN 'BYPASSRLS' END)"
        " FROM pg_roles WHERE rolname = %s",
        (name,),
    ).fetchone()
    assert row is not None
    return str(row[0])


def members_of(admin: psycopg.Connection, name: str) -> set[tuple[Any, ...]]:
    """Return what a role was granted, with the options of PostgreSQL 16 and later."""
    options = "true, m.inherit_option, m.set_option"
    if admin.info.server_version < 160000:
        options = "false, NULL, NULL"
    rows = admin.execute(
        f"SELECT g.rolname, {options} FROM pg_auth_members AS m"
        " JOIN pg_roles AS g ON g.oid = m.roleid"
        " JOIN pg_roles AS u ON u.oid = m.member WHERE u.rolname = %s".encode(),
        (name,),
    ).fetchall()
    return set(rows)


def granted(
    admin: psycopg.Connection, names: Sequence[str], *, inherit: bool
) -> set[tuple[Any, ...]]:
    """Return what :func:`members_of` answers where these were granted exactly."""
    if admin.info.server_version < 160000:
        return {(name, False, None, None) for name in names}
    return {(name, True, inherit, True) for name in names}


def state(admin: psycopg.Connection, cast: Cast) -> list[Any]:
    """Return all a bootstrap is about."""
    return [
        [attributes(admin, name), members_of(admin, name), settings(admin, name)]
        for name in (OWNER_ROLE, *cast.names)
    ]


def settings(admin: psycopg.Connection, name: str) -> list[str]:
    """Return the settings that a role's sessions start with, in every database."""
    row = admin.execute(
        "SELECT setconfig FROM pg_db_role_setting AS s JOIN pg_roles AS r"
        " ON r.oid = s.setrole WHERE rolname = %s AND setdatabase = 0",
        (name,),
    ).fetchone()
    return [] if row is None else sorted(row[0])


def test_the_bootstrap_makes_each_role_as_it_should_be(
    made: Cast, admin: psycopg.Connection
) -> None:
    """Owner, login, test and fixed roles have their attributes and no other."""
    found = {name: attributes(admin, name) for name in made.names}

    assert found == {
        made.owner: "INHERIT CREATEDB LOGIN",
        made.login: "LOGIN",
        made.test: "LOGIN",
        made.member: "INHERIT",
        made.odd: "INHERIT",
        made.anonymous: "INHERIT",
    }
    assert attributes(admin, OWNER_ROLE) == ""


def test_the_bootstrap_grants_exactly_what_it_should(
    made: Cast, admin: psycopg.Connection
) -> None:
    """The login is granted the fixed roles alone, the test role also the owner."""
    assert members_of(admin, made.login) == granted(admin, made.fixed, inherit=False)
    assert members_of(admin, made.test) == granted(
        admin, [made.owner, *made.fixed], inherit=False
    )
    assert members_of(admin, made.owner) == granted(admin, [OWNER_ROLE], inherit=True)


def test_the_bootstrap_keeps_parameters_out_of_the_log(
    made: Cast, admin: psycopg.Connection
) -> None:
    """Bound parameters of login and test role, claims among them, are not logged."""
    quiet = [
        "auto_explain.log_verbose=off",
        "log_parameter_max_length=0",
        "log_parameter_max_length_on_error=0",
    ]
    if admin.info.server_version >= 160000:
        quiet.insert(0, "auto_explain.log_parameter_max_length=0")

    assert settings(admin, made.login) == quiet
    assert settings(admin, made.test) == quiet
    assert settings(admin, made.owner) == []


def test_the_bootstrap_is_idempotent(made: Cast, admin: psycopg.Connection) -> None:
    """A second run changes nothing and fails nowhere."""
    before = state(admin, made)

    execute(admin, made.statements())

    assert before == state(admin, made)


def test_the_bootstrap_mends_what_was_changed(
    made: Cast, admin: psycopg.Connection
) -> None:
    """Attributes that were turned on by hand are off after the next run."""
    before = state(admin, made)
    for name, wrong in (
        (made.owner, "CREATEROLE NOCREATEDB NOINHERIT"),
        (made.login, "CREATEROLE CREATEDB INHERIT"),
        (made.member, "LOGIN CREATEDB"),
    ):
        admin.execute(sql.SQL(f"ALTER ROLE {{}} {wrong}").format(sql.Identifier(name)))

    execute(admin, made.statements())

    assert before == state(admin, made)


def test_without_a_test_role_the_owner_makes_no_database(
    made: Cast, admin: psycopg.Connection
) -> None:
    """In production the owner has no CREATEDB, and loses it where it had."""
    execute(admin, made.statements(test=None))

    assert attributes(admin, made.owner) == "INHERIT LOGIN"


def test_the_login_becomes_the_fixed_roles_and_nobody_else(
    made: Cast, connect: Callable[[str], psycopg.Connection]
) -> None:
    """SET ROLE works for each fixed role, and for owner and schema owner never."""
    connection = connect(made.login)

    for name in made.fixed:
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(name)))
    for name in (made.owner, made.test, OWNER_ROLE, postgres.OWNER, "member"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(name)))


def test_the_login_inherits_nothing(
    made: Cast, admin: psycopg.Connection, connect: Callable[[str], psycopg.Connection]
) -> None:
    """What the fixed roles may read the login may not, until it is one of them."""
    table = f"inherits_{uuid.uuid4().hex[:8]}"
    member = sql.Identifier(made.member)
    admin.execute(f"CREATE TABLE {table} ()".encode())
    admin.execute(sql.SQL(f"GRANT SELECT ON {table} TO {{}}").format(member))
    connection = connect(made.login)

    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(f"TABLE {table}".encode())
    connection.execute(sql.SQL("SET ROLE {}").format(member))
    connection.execute(f"TABLE {table}".encode())

    admin.execute(f"DROP TABLE {table}".encode())


def test_the_test_role_may_become_the_owner(
    made: Cast, connect: Callable[[str], psycopg.Connection]
) -> None:
    """Tests log in as one role and are owner and fixed roles in turn."""
    connection = connect(made.test)

    for name in (made.owner, *made.fixed):
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(name)))


def test_the_owner_makes_no_role(
    made: Cast, connect: Callable[[str], psycopg.Connection]
) -> None:
    """The owner can neither make a role nor give the login another one."""
    connection = connect(made.owner)
    escalation = sql.SQL("GRANT {} TO {}").format(
        sql.Identifier(OWNER_ROLE), sql.Identifier(made.login)
    )

    for statement in (sql.SQL("CREATE ROLE more"), escalation):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)


@pytest.mark.parametrize("power", ["SUPERUSER", "BYPASSRLS", "REPLICATION"])
def test_a_role_past_row_security_is_refused(
    cast: Cast, admin: psycopg.Connection, power: str
) -> None:
    """A name that stands for a role past row security is no fixed role and no login."""
    admin.execute(sql.SQL(f"CREATE ROLE {{}} {power}").format(sql.Identifier(cast.odd)))

    with pytest.raises(
        psycopg.errors.InvalidRoleSpecification, match="take that away or choose"
    ) as caught:
        execute(admin, cast.statements())

    assert cast.odd in str(caught.value)


@pytest.mark.parametrize("conforming", ["on", "off"])
def test_the_bootstrap_reads_the_same_under_any_quoting(
    cast: Cast, admin: psycopg.Connection, conforming: str
) -> None:
    """A session that reads backslashes otherwise makes the very same roles."""
    admin.execute(f"SET standard_conforming_strings = {conforming}".encode())
    admin.execute("SET escape_string_warning = off")

    execute(admin, cast.statements())

    assert attributes(admin, cast.odd) == "INHERIT"


@pytest.fixture
def creator(
    cast: Cast,
    admin: psycopg.Connection,
    connect: Callable[[str], psycopg.Connection],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[psycopg.Connection]:
    """Return a connection of a role with CREATEROLE, on a server without our roles."""
    name = f"creator_{uuid.uuid4().hex[:8]}"
    schema_owner = f"schema_owner_{uuid.uuid4().hex[:8]}"
    monkeypatch.setattr(roles, "OWNER_ROLE", schema_owner)
    admin.execute(f"CREATE ROLE {name} LOGIN CREATEROLE".encode())
    yield connect(name)
    drop(admin, *cast.names, schema_owner, name)


def test_a_role_with_createrole_makes_the_roles(
    cast: Cast, creator: psycopg.Connection, admin: psycopg.Connection
) -> None:
    """On a managed server no superuser is needed, not the second time either."""
    for _ in range(2):
        execute(creator, cast.statements(test=None))

    assert attributes(admin, cast.login) == "LOGIN"
    assert attributes(admin, cast.owner) == "INHERIT LOGIN"
    assert members_of(admin, cast.login) == granted(admin, cast.fixed, inherit=False)


def test_with_a_test_role_createdb_is_needed_from_16_on(
    cast: Cast, creator: psycopg.Connection, admin: psycopg.Connection
) -> None:
    """Who gives the owner CREATEDB must have it; with it the whole bootstrap works."""
    if admin.info.server_version >= 160000:
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="CREATEDB"):
            execute(creator, cast.statements())
    admin.execute(f"ALTER ROLE {creator.info.user} CREATEDB".encode())

    execute(creator, cast.statements())

    assert attributes(admin, cast.owner) == "INHERIT CREATEDB LOGIN"


def test_who_cannot_quieten_the_log_is_warned(
    cast: Cast, creator: psycopg.Connection, admin: psycopg.Connection
) -> None:
    """Without a superuser the log's setting stays, and a warning says what to run."""
    warnings: list[tuple[str, str]] = []
    creator.add_notice_handler(
        lambda notice: (
            warnings.append((notice.message_primary or "", notice.message_hint or ""))
            if notice.severity_nonlocalized == "WARNING"
            else None
        )
    )

    execute(creator, cast.statements(test=None))

    assert len(warnings) == 2
    assert settings(admin, cast.login) == ["log_parameter_max_length_on_error=0"]
    for message, hint in warnings:
        assert cast.login in message
        assert "tokens and claims can appear in the server's log" in message
        admin.execute(hint.encode())
    execute(creator, cast.statements(test=None))
    assert len(warnings) == 2


def test_a_role_of_somebody_else_is_no_creators_to_give_from_16_on(
    cast: Cast,
    creator: psycopg.Connection,
    admin: psycopg.Connection,
) -> None:
    """Where a role is there already, the server asks for the ADMIN option on it."""
    member = sql.Identifier(cast.member)
    admin.execute(sql.SQL("CREATE ROLE {}").format(member))
    if admin.info.server_version >= 160000:
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="ADMIN option"):
            execute(creator, cast.statements(test=None))
    grant = sql.SQL("GRANT {} TO {} WITH ADMIN OPTION")
    admin.execute(grant.format(member, sql.Identifier(creator.info.user)))

    execute(creator, cast.statements(test=None))

    assert cast.member in {name for name, *_ in members_of(admin, cast.login)}


@pytest.mark.parametrize(
    "change",
    [
        {"owner": "same", "login": "same"},
        {"roles": ["member", "member"]},
        {"roles": ["member"], "anonymous": "member"},
        {"test": "login"},
        {"login": OWNER_ROLE},
        {"roles": [OWNER_ROLE]},
        {"owner": OWNER_ROLE},
    ],
)
def test_a_name_given_twice_is_refused(change: dict[str, Any]) -> None:
    """One role never plays two parts, least of all that of the schema's owner."""
    given = {"owner": "owner", "login": "login", "roles": ["member"]}

    with pytest.raises(ConfigurationError, match="needs a name of its own"):
        bootstrap(**{**given, **change})


@pytest.mark.parametrize(
    ("part", "name"),
    [
        *itertools.product(
            ("owner", "login", "anonymous", "test", "roles"),
            ("", "none", "PUBLIC", "pg_read_all_data", "r" * 64, "nul\0", 7),
        ),
        *itertools.product(("owner", "login", "roles"), [None]),
    ],
)
def test_a_name_that_is_reserved_or_unusable_is_refused(part: str, name: Any) -> None:
    """No part is played by a role of PostgreSQL's own or by an unusable name."""
    given: dict[str, Any] = {"owner": "owner", "login": "login", "roles": ["member"]}
    given[part] = [name] if part == "roles" else name

    with pytest.raises(ConfigurationError):
        bootstrap(**given)


@pytest.mark.parametrize("given", [[], "abc"])
def test_without_a_list_of_roles_there_is_no_bootstrap(given: Any) -> None:
    """A login that may become nobody, or each letter of a name, is a mistake."""
    with pytest.raises(ConfigurationError, match="roles is a list that names"):
        bootstrap(owner="owner", login="login", roles=given)
