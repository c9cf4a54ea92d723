"""An attacker with any SQL on the application's connection gains no identity.

Each attack has its control: with the protection taken away it works, so that what
refuses it here is the protection and nothing else.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.database.acting import (
    ANONYMOUS,
    LOG_IN,
    RESUME,
    Attempt,
    temporary_objects,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.database.acting import TrustedIssuer

SEAL = "SELECT current_setting('jwtrole.seal'), current_setting('jwtrole.claims')"
FORGED = json.dumps({"sub": "victim", "tenant": 8, "role": "manager"})
PUT = (
    "SELECT set_config('jwtrole.seal', %s, {0}), set_config('jwtrole.claims', %s, {0})"
)


@pytest.fixture
def table(owner: psycopg.Connection) -> Iterator[None]:
    """Make a table with a victim's row, guarded as our policies are."""
    for statement in (
        "CREATE TABLE loot (tenant int, secret text)",
        "INSERT INTO loot VALUES (7, 'mine'), (8, 'the victim''s')",
        "ALTER TABLE loot ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE loot FORCE ROW LEVEL SECURITY",
        (
            "CREATE POLICY own ON loot TO member, manager"
            " USING (tenant = (SELECT jwtrole.claim('tenant')::int))"
        ),
        (
            "CREATE POLICY boss ON loot TO manager"
            " USING ((SELECT jwtrole.sealed()) AND true)"
        ),
        "GRANT SELECT ON loot TO member, manager",
    ):
        owner.execute(statement.encode())
    yield
    owner.execute("DROP TABLE loot")


@pytest.fixture
def unpinned(owner: psycopg.Connection) -> Iterator[None]:
    """Make an accessor of the same kind that pins no setting, as a control."""
    owner.execute(
        "CREATE FUNCTION jwtrole.unpinned() RETURNS text LANGUAGE plpgsql STABLE"
        " SECURITY DEFINER AS $$ BEGIN"
        " IF decode(left(current_setting('jwtrole.seal'), 64), 'hex')"
        "    = sha256(convert_to(current_setting('jwtrole.claims'), 'UTF8')) THEN"
        " RETURN current_setting('jwtrole.claims')::pg_catalog.jsonb ->> 'sub';"
        " END IF;"
        " RETURN 'refused'; END $$"
    )
    yield
    owner.execute("DROP FUNCTION jwtrole.unpinned()")


def loot(attempt: Attempt) -> list[str]:
    """Return what can be read of the table, by every role there is to switch to."""
    found: list[str] = []
    for role in ("NONE", "member", "manager", "anon"):
        query = "SELECT secret FROM loot"
        try:
            with attempt.connection.transaction():
                attempt.run(f"SET LOCAL ROLE {role}")
                found += [secret for (secret,) in attempt.run(query)]
        except psycopg.Error:
            continue
    return found


# --- forging -----------------------------------------------------------------------


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize("local", ["true", "false"])
@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize(
    "seal", ["", "0" * 64, "0" * 64 + "Infinity", "x" * 64 + "junk", "own"]
)
def test_forged_settings_are_no_identity(
    issuer: TrustedIssuer, attempt: Attempt, local: str, inside: bool, seal: str
) -> None:
    """Claims set by hand answer under no seal that can be made up or taken along."""
    attempt.log_in(issuer.mint())
    own = attempt.run(SEAL)[0][0]
    if not inside:
        attempt.run("ROLLBACK", "BEGIN")
    for mode in ("auto", "force_custom_plan", "force_generic_plan"):
        attempt.run(f"SET LOCAL plan_cache_mode = {mode}")
        attempt.run(
            PUT.format(local), arguments=(own if seal == "own" else seal, FORGED)
        )
        attempt.run(
            "SELECT set_config('jwtrole.role', 'manager', false),"
            " set_config('request.jwt.claims', '{}', false)"
        )

        assert attempt.nobody
        assert loot(attempt) == []


@pytest.mark.usefixtures("table")
def test_the_forgers_control(issuer: TrustedIssuer, attempt: Attempt) -> None:
    """With the settings as login made them the very same reading works."""
    attempt.log_in(issuer.mint())
    seal, claims = attempt.run(SEAL)[0]
    attempt.run(PUT.format("true"), arguments=("", FORGED))
    assert attempt.nobody

    attempt.run(PUT.format("true"), arguments=(seal, claims))
    assert attempt.sealed
    assert loot(attempt) == ["mine"]


@pytest.mark.parametrize(
    "name", ["jwtrole.claims", "jwtrole.seal", "jwtrole.role", "request.jwt.claims"]
)
@pytest.mark.parametrize("how", ["SET LOCAL {} = ''", "RESET {}", "SET {} = '1'"])
def test_each_setting_undone_leaves_nobody_or_no_difference(
    issuer: TrustedIssuer, attempt: Attempt, name: str, how: str
) -> None:
    """Ours missing means nobody; those that others read mean nothing to us."""
    attempt.log_in(issuer.mint())
    attempt.run(how.format(name))

    if name in {"jwtrole.claims", "jwtrole.seal"}:
        assert attempt.nobody
    else:
        assert attempt.value("SELECT jwtrole.claim('sub')") == "ann"


# --- roles -------------------------------------------------------------------------


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize(
    "switch",
    [
        "SET ROLE manager",
        "SET LOCAL ROLE manager",
        "RESET ROLE",
        "SET ROLE NONE",
        "SELECT set_config('role', 'manager', false)",
        "DO $$ BEGIN SET LOCAL ROLE manager; END $$",
    ],
)
def test_another_role_has_no_claims(
    issuer: TrustedIssuer, attempt: Attempt, switch: str
) -> None:
    """Whoever switches the role keeps no claim; back in the role all is as it was."""
    attempt.log_in(issuer.mint())
    attempt.run(switch)

    assert attempt.nobody
    # The control is the role itself: the seal is intact and answers in it alone.
    attempt.run("SET LOCAL ROLE member")
    assert attempt.sealed
    assert loot(attempt) == ["mine"]


@pytest.mark.parametrize(
    ("statement", "state"),
    [
        ("SET SESSION AUTHORIZATION manager", "42501"),
        ("SET SESSION AUTHORIZATION postgres", "42501"),
        ("SET ROLE app_owner", "42501"),
        ("SET ROLE jwtrole_owner", "42501"),
        ("SET ROLE postgres", "42501"),
        ("SET session_replication_role = replica", "42501"),
    ],
)
@pytest.mark.parametrize("acting", [True, False])
def test_stronger_roles_are_out_of_reach(
    issuer: TrustedIssuer, attempt: Attempt, statement: str, state: str, acting: bool
) -> None:
    """Neither the login role nor an identity can become somebody else."""
    if acting:
        attempt.log_in(issuer.mint())

    assert attempt.refused(statement) == state


# --- replay ------------------------------------------------------------------------


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK", "COMMIT AND CHAIN"])
def test_a_seal_ends_with_its_transaction(
    issuer: TrustedIssuer, attempt: Attempt, end: str
) -> None:
    """Kept for the session and replayed in the next transaction, it is no good."""
    attempt.log_in(issuer.mint())
    seal, claims = attempt.run(SEAL)[0]
    attempt.run(PUT.format("false"), arguments=(seal, claims))
    attempt.run("SET ROLE member")
    assert attempt.sealed
    attempt.run(end)
    if "CHAIN" not in end:
        attempt.run("BEGIN")
    attempt.run(PUT.format("true"), arguments=(seal, claims))
    attempt.run("SET LOCAL ROLE member")

    assert attempt.nobody
    assert loot(attempt) == []


@pytest.mark.usefixtures("table")
def test_a_seal_is_no_good_to_another_backend(
    issuer: TrustedIssuer, attempt: Attempt, neighbour: Attempt
) -> None:
    """A neighbour who has read it while it is in force cannot put it on."""
    attempt.log_in(issuer.mint())
    seal, claims = attempt.run(SEAL)[0]
    neighbour.run("BEGIN", "SET LOCAL ROLE member")
    neighbour.run(PUT.format("true"), arguments=(seal, claims))

    assert neighbour.nobody
    assert loot(neighbour) == []
    assert attempt.sealed


@pytest.mark.usefixtures("table")
def test_the_replays_control(
    issuer: TrustedIssuer,
    attempt: Attempt,
    neighbour: Attempt,
    owner: psycopg.Connection,
) -> None:
    """Where a seal is bound to nothing, backends and transactions can replay it."""
    made = owner.execute(
        "SELECT pg_get_functiondef('jwtrole._binding()'::regprocedure)"
    ).fetchone()
    assert made is not None
    owner.execute(
        "CREATE OR REPLACE FUNCTION jwtrole._binding() RETURNS text LANGUAGE sql"
        " STABLE PARALLEL RESTRICTED AS $$SELECT 'anything'$$"
    )
    try:
        attempt.log_in(issuer.mint())
        seal, claims = attempt.run(SEAL)[0]
        attempt.run("COMMIT")
        for thief in (attempt, neighbour):
            thief.run("BEGIN", "SET LOCAL ROLE member")
            thief.run(PUT.format("true"), arguments=(seal, claims))
            assert thief.sealed
            assert loot(thief) == ["mine"]
            thief.end()
    finally:
        owner.execute(made[0].encode())
    neighbour.run("BEGIN", "SET LOCAL ROLE member")
    neighbour.run(PUT.format("true"), arguments=(seal, claims))
    assert neighbour.nobody


def test_a_seal_is_no_ticket_and_a_ticket_no_seal(
    issuer: TrustedIssuer, attempt: Attempt
) -> None:
    """Each has its own domain: no part of one passes for the other."""
    _, ticket, _ = attempt.log_in(issuer.mint())
    seal, claims = attempt.run(SEAL)[0]
    attempt.run("RESET ROLE")
    fields, _, _ = ticket[64:].partition("\n")
    for forged in (seal, seal[:64] + ticket[64:], seal + claims, f"{seal}\n{claims}"):
        assert attempt.resume_refused(forged) == "JW001"

    attempt.run("SET LOCAL ROLE member")
    ends = seal[64:]
    for forged in (ticket, ticket[:64] + ends, ticket[:64] + fields):
        attempt.run(PUT.format("true"), arguments=(forged, claims))
        assert attempt.nobody
    attempt.run(PUT.format("true"), arguments=(seal, claims))
    assert attempt.sealed


def test_no_byte_of_a_ticket_can_be_changed(
    issuer: TrustedIssuer, attempt: Attempt
) -> None:
    """Each single change, cut and addition is refused; untouched it is accepted."""
    ticket = attempt.ticket(issuer.mint())
    forged = {ticket + " ", ticket[:-1], " " + ticket, ticket[1:], ticket.upper()}
    for at in range(0, len(ticket), 3):
        forged.add(ticket[:at] + chr(ord(ticket[at]) ^ 1) + ticket[at + 1 :])
    forged.add(ticket.replace('"member"', '"manager"', 1))
    forged.add(ticket.replace("7}", "8}"))
    forged.discard(ticket)

    for one in forged:
        assert attempt.resume_refused(one) == "JW001"
    assert len(forged) > 80
    assert attempt.resume(ticket) == "member"


def test_fields_cannot_be_shifted(owner: psycopg.Connection) -> None:
    """A character moved from one field to its neighbour makes another seal."""
    same = owner.execute(
        "SELECT jwtrole._sealed_with('a', 'b', 'i', 'role', '1', '23')"
        " = jwtrole._sealed_with('a', 'b', 'i', 'role', '12', '3'),"
        " jwtrole._seal_of('a', 'b', 'p', 'b', 'role', '1', '23')"
        " = jwtrole._seal_of('a', 'b', 'p', 'b', 'role', '12', '3'),"
        " 'role' || '1' || '23' = 'role' || '12' || '3'"
    ).fetchone()

    assert same == (False, False, True)


# --- shadowing ---------------------------------------------------------------------

SHADOWS = (
    "CREATE SCHEMA evil",
    "GRANT USAGE ON SCHEMA evil TO PUBLIC",
    (
        "CREATE FUNCTION evil.yes(bytea, bytea) RETURNS boolean LANGUAGE sql AS"
        " 'SELECT true'"
    ),
    (
        "CREATE FUNCTION evil.yes(text, text) RETURNS boolean LANGUAGE sql AS"
        " 'SELECT true'"
    ),
    "CREATE OPERATOR evil.= (FUNCTION = evil.yes, LEFTARG = bytea, RIGHTARG = bytea)",
    "CREATE OPERATOR evil.= (FUNCTION = evil.yes, LEFTARG = text, RIGHTARG = text)",
    (
        "CREATE FUNCTION evil.sha256(bytea) RETURNS bytea LANGUAGE sql AS"
        " 'SELECT ''same''::bytea'"
    ),
    (
        "CREATE FUNCTION evil.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS"
        " 'SELECT ''-infinity''::timestamptz'"
    ),
    (
        "CREATE FUNCTION evil.current_setting(text, boolean) RETURNS text"
        " LANGUAGE sql AS 'SELECT ''evil'''"
    ),
    "CREATE FUNCTION evil.pg_backend_pid() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE DOMAIN evil.jsonb AS text",
)


@pytest.fixture
def shadows(superuser: psycopg.Connection) -> Iterator[None]:
    """Make functions, operators and types that shadow those of PostgreSQL."""
    for statement in SHADOWS:
        superuser.execute(statement.encode())
    yield
    superuser.execute("DROP SCHEMA evil CASCADE")


@pytest.mark.usefixtures("shadows", "table")
def test_a_search_path_changes_nothing(issuer: TrustedIssuer, attempt: Attempt) -> None:
    """Shadowed operators and functions are never called, on a fresh backend."""
    token = issuer.mint()
    attempt.run("SET search_path = evil, pg_catalog")
    _, ticket, _ = attempt.log_in(token)
    assert attempt.value("SELECT jwtrole.claim('sub')") == "ann"
    attempt.run("SET LOCAL ROLE member")
    attempt.run(PUT.format("true"), arguments=("0" * 64 + "Infinity", FORGED))

    assert attempt.nobody
    assert loot(attempt) == []
    attempt.end()
    assert attempt.resume_refused("0" * 64 + ticket[64:]) == "JW001"


@pytest.mark.usefixtures("shadows", "unpinned")
def test_the_shadows_control(attempt: Attempt) -> None:
    """An accessor whose search path is not pinned is forged at once."""
    attempt.run(PUT.format("false"), arguments=("00" * 32, FORGED))
    assert attempt.value("SELECT jwtrole.unpinned()") == "refused"
    attempt.run("DISCARD PLANS", "SET search_path = evil, pg_catalog")
    assert attempt.value("SELECT jwtrole.unpinned()") == "victim"


@pytest.mark.usefixtures("table")
def test_temporary_objects_shadow_nothing(
    issuer: TrustedIssuer, attempt: Attempt, owner: psycopg.Connection
) -> None:
    """Tables and types in pg_temp, which is searched first by default, are not used."""
    with temporary_objects(owner):
        for statement in (
            "CREATE TEMP TABLE pg_roles (rolname name, rolsuper boolean)",
            "CREATE TEMP TABLE secret (ipad bytea, opad bytea)",
            "CREATE TEMP TABLE pg_database (oid oid, datname name)",
            "CREATE DOMAIN pg_temp.jsonb AS text",
            "CREATE DOMAIN pg_temp.numeric AS text",
            "SET search_path = pg_temp, jwtrole, pg_catalog",
        ):
            attempt.run(statement)
    # The control: to the session itself its own table comes first.
    assert attempt.value("SELECT count(*) FROM pg_roles") == 0

    _, ticket, _ = attempt.log_in(issuer.mint())
    assert attempt.value("SELECT jwtrole.claims()")["tenant"] == 7
    attempt.run(PUT.format("true"), arguments=("0" * 64 + "Infinity", FORGED))
    assert attempt.nobody
    attempt.end()
    assert attempt.resume(ticket) == "member"


# --- hostile settings --------------------------------------------------------------


def hostile(superuser: psycopg.Connection) -> list[tuple[str, str]]:
    """Return each setting that a user may change, with each value it can have."""
    rows = superuser.execute(
        "SELECT name, vartype, enumvals, setting FROM pg_settings"
        " WHERE context = 'user' AND (vartype IN ('bool', 'enum'))"
    ).fetchall()
    # One ends the session with its first error: refused all the more.
    found = [
        (name, value)
        for name, kind, values, current in rows
        for value in (["on", "off"] if kind == "bool" else values)
        if value != current and name != "exit_on_error"
    ]
    return [
        *found,
        ("DateStyle", "SQL, DMY"),
        ("IntervalStyle", "sql_standard"),
        ("TimeZone", "Pacific/Kiritimati"),
        ("extra_float_digits", "-15"),
        ("lc_numeric", "C"),
        ("client_encoding", "LATIN1"),
        ("join_collapse_limit", "1"),
        ("from_collapse_limit", "1"),
        ("geqo_threshold", "2"),
        ("work_mem", "64kB"),
        ("jit_above_cost", "0"),
        ("plpgsql.extra_errors", "all"),
        ("plpgsql.extra_warnings", "all"),
        ("plpgsql.check_asserts", "off"),
        ("search_path", ""),
        ("temp_tablespaces", ""),
        ("log_parameter_max_length_on_error", "-1"),
    ]


def test_no_setting_changes_what_anything_means(
    issuer: TrustedIssuer,
    owner: psycopg.Connection,
    superuser: psycopg.Connection,
) -> None:
    """On a fresh backend under each hostile setting all works and all is refused."""
    owner.execute("SELECT jwtrole.set_anonymous('anon')")
    token, tried = issuer.mint(), 0
    bad = issuer.mint(secret=b"x" * 64)
    for name, value in hostile(superuser):
        dsn = psycopg.conninfo.make_conninfo(owner.info.dsn, user="app_login")
        connection = psycopg.connect(dsn, autocommit=True)
        # Debugging settings send each plan to the client.
        connection.add_notice_handler(lambda _: None)
        with connection:
            fresh = Attempt(connection)
            fresh.run(f"SET {name} = '{value}'")
            setting = (name, value)
            fresh.run("BEGIN")
            # The driver reads a time in the ISO style alone.
            query = LOG_IN.replace("l.expires", "l.expires IS NULL")
            _, ticket, _ = fresh.run(query, arguments=(token,))[0]
            assert fresh.run(
                "SELECT jwtrole.claim('sub'), jwtrole.sealed(), jwtrole.subject(),"
                " jwtrole.claims() ->> 'tenant'"
            ) == [("ann", True, "ann", "7")], setting
            fresh.run("SET LOCAL ROLE manager")
            assert not fresh.sealed, setting
            fresh.end()
            assert fresh.resume(ticket) == "member", setting
            fresh.run(PUT.format("true"), arguments=("0" * 64 + "NaN", FORGED))
            assert fresh.nobody, setting
            fresh.end()
            assert fresh.login_refused(bad) == "JW003", setting
            assert fresh.resume_refused("0" * 64 + ticket[64:]) == "JW001", setting
            assert fresh.resume_refused("junk") == "JW001", setting
            fresh.run("BEGIN", ANONYMOUS, "ROLLBACK")
            tried += 1
    assert tried > 80


def test_a_hostile_settings_control(
    owner: psycopg.Connection, attempt: Attempt
) -> None:
    """A body with a backslash that pins nothing changes its meaning at once."""
    owner.execute(
        "CREATE FUNCTION public.control() RETURNS boolean LANGUAGE plpgsql"
        " SECURITY DEFINER AS $$ BEGIN RETURN 'axb' ~ '^a\\.b$'; END $$"
    )
    try:
        attempt.run("SET standard_conforming_strings = off")
        attempt.run("SET escape_string_warning = off")
        assert attempt.value("SELECT public.control()") is True
        attempt.run("DISCARD ALL")
        # Compiled once in a session, it stays what it was.
        assert attempt.value("SELECT 'axb' ~ '^a\\.b$'") is False
    finally:
        owner.execute("DROP FUNCTION public.control()")


def test_no_setting_shows_the_secret(
    issuer: TrustedIssuer, attempt: Attempt, owner: psycopg.Connection
) -> None:
    """Plans that debugging sends to the client hold no byte of secret or key."""
    row = owner.execute("SELECT ipad, opad FROM jwtrole.secret").fetchone()
    key = owner.execute(
        "SELECT inner_pad, outer_pad FROM jwtrole.key WHERE issuer = %s",
        (issuer.name,),
    ).fetchone()
    assert row is not None
    assert key is not None
    token, seen = issuer.mint(), []
    ticket = attempt.ticket(token)
    attempt.connection.add_notice_handler(
        lambda notice: seen.append(
            f"{notice.message_primary} {notice.message_detail} {notice.context}"
        )
    )
    for name in ("parse", "rewritten", "plan"):
        attempt.run(f"SET debug_print_{name} = on")
    attempt.run("SET client_min_messages = debug5", "SET debug_pretty_print = off")
    for mode in ("force_custom_plan", "force_generic_plan"):
        attempt.run(f"SET plan_cache_mode = {mode}", "DISCARD PLANS")
        attempt.log_in(token)
        attempt.run("SELECT jwtrole.claim('sub'), jwtrole.sealed(), jwtrole.claims()")
        attempt.end()
        attempt.resume(ticket)
        attempt.end()
    shown = "".join(seen)

    # The control: what is a variable in there is shown, byte by byte.
    assert " ".join(str(byte) for byte in b"ann") in shown
    for pad in (*row, *key):
        signed = [byte - 256 if byte > 127 else byte for byte in pad]
        for bytes_ in (list(pad), signed):
            assert " ".join(map(str, bytes_[:8])) not in shown
        assert pad[:8].hex() not in shown


# --- what is in the schema ---------------------------------------------------------


def test_no_inner_function_and_no_table_is_for_an_attacker(
    issuer: TrustedIssuer, attempt: Attempt, owner: psycopg.Connection
) -> None:
    """As login role and as an identity every function and table inside is refused."""
    functions = owner.execute(
        "SELECT p.proname::text, array_to_string(ARRAY(SELECT 'NULL::'"
        " || format_type(t, NULL) FROM unnest(p.proargtypes) AS t), ', ')"
        " FROM pg_proc AS p WHERE p.pronamespace = 'jwtrole'::regnamespace"
        " AND p.prorettype <> 'trigger'::regtype AND p.proname NOT IN ('claim',"
        " 'claims', 'require', 'sealed', 'subject', 'version', 'login', 'resume',"
        " 'anonymous', 'differences')"
    ).fetchall()
    tables = owner.execute(
        "SELECT relname::text FROM pg_class"
        " WHERE relnamespace = 'jwtrole'::regnamespace AND relkind IN ('r', 'v')"
    ).fetchall()
    assert len(functions) > 20
    assert len(tables) > 8

    for acting in (False, True):
        if acting:
            attempt.log_in(issuer.mint())
        for name, arguments in functions:
            call = f"SELECT jwtrole.{name}({arguments})"
            assert attempt.refused(call) == "42501", call
        for (name,) in tables:
            for statement in (
                f"SELECT * FROM jwtrole.{name}",
                f"TABLE jwtrole.{name} LIMIT 0",
                f"DELETE FROM jwtrole.{name}",
                f"TRUNCATE jwtrole.{name}",
                f"COPY jwtrole.{name} TO STDOUT",
                f"LOCK TABLE jwtrole.{name}",
                f"DROP TABLE jwtrole.{name}",
                f"CREATE TABLE pg_temp.x (LIKE jwtrole.{name})",
            ):
                assert attempt.refused(statement) in {"42501", "42809", "55000"}, (
                    statement
                )


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE FUNCTION jwtrole.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        (
            "CREATE OR REPLACE FUNCTION jwtrole.sealed() RETURNS boolean"
            " LANGUAGE sql AS 'SELECT true'"
        ),
        "ALTER FUNCTION jwtrole.claim(text) SECURITY INVOKER",
        "ALTER FUNCTION jwtrole.claim(text) RESET search_path",
        "DROP FUNCTION jwtrole.resume(text)",
        "ALTER SCHEMA jwtrole RENAME TO gone",
        "GRANT EXECUTE ON FUNCTION jwtrole.rotate_seal() TO PUBLIC",
        "ALTER TABLE loot DISABLE ROW LEVEL SECURITY",
        "DROP POLICY own ON loot",
        "SELECT pg_read_file('postgresql.conf')",
        "DO $$ BEGIN PERFORM * FROM jwtrole.secret; END $$",
        "DO $$ BEGIN UPDATE jwtrole.secret SET ipad = ''; END $$",
        "ALTER ROLE member SUPERUSER",
        "GRANT manager TO app_login",
    ],
)
@pytest.mark.usefixtures("table")
def test_nothing_can_be_rebuilt(
    issuer: TrustedIssuer, attempt: Attempt, statement: str
) -> None:
    """Neither code nor tables nor policies nor roles can be changed."""
    assert attempt.refused(statement) in {"42501", "0LP01"}
    attempt.log_in(issuer.mint())

    assert attempt.refused(statement) in {"42501", "0LP01"}
    assert loot(attempt) == ["mine"]


@pytest.mark.usefixtures("table")
def test_a_block_with_handlers_keeps_nothing(
    issuer: TrustedIssuer, attempt: Attempt
) -> None:
    """Claims that were put on in a failed block are gone with it."""
    ticket = attempt.ticket(issuer.mint())
    attempt.run("BEGIN")
    attempt.run(
        f"DO $do$ BEGIN PERFORM set_config('role', jwtrole.resume($${ticket}$$), true);"
        " PERFORM 1 / 0; EXCEPTION WHEN division_by_zero THEN NULL; END $do$"
    )

    assert attempt.nobody
    assert attempt.value("SELECT current_user::text") == "app_login"


@pytest.mark.usefixtures("table")
def test_what_a_role_sets_for_itself_gives_no_identity(
    issuer: TrustedIssuer,
    attempt: Attempt,
    superuser: psycopg.Connection,
    owner: psycopg.Connection,
) -> None:
    """ALTER ROLE of the login role on itself poisons sessions, yet seals nothing."""
    attempt.log_in(issuer.mint())
    seal, claims = attempt.run(SEAL)[0]
    attempt.end()
    dsn = psycopg.conninfo.make_conninfo(owner.info.dsn, user="app_login")
    where = f"ALTER ROLE app_login IN DATABASE {owner.info.dbname}"
    options = f"-c jwtrole.seal={seal} -c jwtrole.claims={claims}"
    options = options.replace(", ", ",\\ ").replace(": ", ":\\ ")
    attempt.run(f"{where} SET role = 'manager'")
    dsn = psycopg.conninfo.make_conninfo(dsn, options=options)
    try:
        with psycopg.connect(dsn, autocommit=True) as connection:
            poisoned = Attempt(connection)
            # The control: the poison is there.
            assert poisoned.value("SELECT current_user::text") == "manager"
            assert poisoned.run(SEAL) == [(seal, claims)]
            assert poisoned.nobody
            assert loot(poisoned) == []
            poisoned.run("BEGIN", "SELECT set_config('role', 'none', true)")
            assert poisoned.run(LOG_IN, arguments=(issuer.mint(),))[0][0] == "member"
            assert loot(poisoned) == ["mine"]
    finally:
        superuser.execute(f"{where} RESET ALL".encode())


@pytest.mark.usefixtures("table")
def test_a_role_that_stayed_on_is_taken_off_first(
    issuer: TrustedIssuer, attempt: Attempt
) -> None:
    """A session-level SET ROLE stops the next login, until role none comes first."""
    ticket = attempt.ticket(issuer.mint())
    attempt.run("SET ROLE manager")
    assert attempt.resume_refused(ticket) == "42501"
    assert loot(attempt) == []

    attempt.run("BEGIN", "SELECT pg_catalog.set_config('role', 'none', true)")
    assert attempt.value(RESUME, ticket) == "member"


def test_a_procedure_cannot_carry_an_identity_on(
    issuer: TrustedIssuer, attempt: Attempt
) -> None:
    """COMMIT inside a block ends the identity as any other COMMIT does."""
    ticket = attempt.ticket(issuer.mint())
    attempt.run(
        "DO $do$ DECLARE s text; c text; BEGIN"
        f" PERFORM set_config('role', jwtrole.resume($${ticket}$$), true);"
        " s := current_setting('jwtrole.seal'); c := current_setting('jwtrole.claims');"
        " COMMIT;"
        " PERFORM set_config('jwtrole.seal', s, false),"
        " set_config('jwtrole.claims', c, false), set_config('role', 'member', false);"
        " IF jwtrole.sealed() THEN RAISE EXCEPTION 'replayed'; END IF; END $do$"
    )

    assert attempt.nobody
