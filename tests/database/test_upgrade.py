"""From the application mode to the database mode and back, policies in place."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import psycopg
import pytest

from jwtrole import install
from jwtrole.cli import main
from jwtrole.errors import ConfigurationError
from jwtrole.policy import Policy
from tests import postgres
from tests.database.acting import Attempt, TrustedIssuer
from tests.database.fixtures import install_database_mode

if TYPE_CHECKING:
    from collections.abc import Iterator

LATEST = install.LATEST

FUNCTIONS = (
    "SELECT p.oid::regprocedure::text, pg_get_functiondef(p.oid),"
    " p.proowner::regrole::text, has_function_privilege('anon', p.oid, 'EXECUTE')"
    " FROM pg_proc AS p WHERE p.pronamespace = 'jwtrole'::regnamespace ORDER BY 1"
)
EVERYTHING = (
    "SELECT c.oid::regclass::text FROM pg_class AS c"
    " WHERE c.relnamespace = 'jwtrole'::regnamespace ORDER BY 1"
)
NOTE = "SELECT obj_description('jwtrole'::regnamespace, 'pg_namespace')"
FROZEN = (
    "SELECT proname::text, pg_get_function_arguments(oid),"
    " pg_get_function_result(oid), provolatile::text, proparallel::text"
    " FROM pg_proc WHERE pronamespace = 'jwtrole'::regnamespace AND proname IN"
    " ('claim', 'claims', 'require', 'sealed', 'subject', 'version') ORDER BY 1"
)


@pytest.fixture
def changing(server: postgres.Server, worker: str) -> Iterator[psycopg.Connection]:
    """Return the owner's connection to a database with version 1 and policies."""
    name = f"jwtrole_changing_{worker}"
    server.create_database(name)
    with contextlib.closing(server.connect(postgres.OWNER, name)) as owner:
        policy = Policy(
            name="own",
            table="note",
            to=("member",),
            using="author = (SELECT jwtrole.claim('sub'))",
        )
        for statement in (
            "CREATE TABLE note (author text DEFAULT jwtrole.claim('sub'))",
            "GRANT SELECT, INSERT ON note TO member",
            *policy.create(),
            "CREATE POLICY write ON note FOR INSERT TO member WITH CHECK (true)",
            "ALTER TABLE note ENABLE ROW LEVEL SECURITY",
            "ALTER TABLE note FORCE ROW LEVEL SECURITY",
        ):
            owner.execute(statement.encode())
        yield owner
    server.drop_database(name)


def run(owner: psycopg.Connection, statements: tuple[str, ...]) -> None:
    """Run statements in one transaction."""
    with owner.transaction():
        for statement in statements:
            owner.execute(statement.encode())


def test_up_and_down_with_policies_in_place(
    changing: psycopg.Connection, server: postgres.Server
) -> None:
    """The same policy and default answer in both modes, and down restores all."""
    before = [changing.execute(q).fetchall() for q in (FUNCTIONS, EVERYTHING, NOTE)]
    frozen = changing.execute(FROZEN).fetchall()
    release = install.latest("database")
    run(changing, install.change(1, LATEST) + release.grants(postgres.LOGIN))

    assert changing.execute("SELECT jwtrole.version()").fetchone() == (LATEST,)
    assert changing.execute(FROZEN).fetchall() == frozen
    assert changing.execute(NOTE).fetchone() == (
        f"jwtrole {release.name} sha256:{release.sha256}",
    )
    issuer = TrustedIssuer(changing)
    issuer.trust()
    with contextlib.closing(
        server.connect(postgres.LOGIN, changing.info.dbname)
    ) as login:
        attempt = Attempt(login)
        attempt.log_in(issuer.mint())
        attempt.run("INSERT INTO note DEFAULT VALUES", "COMMIT")
        attempt.log_in(issuer.mint(sub="bob"))
        assert attempt.run("SELECT * FROM note") == []
        attempt.end()
        attempt.log_in(issuer.mint())
        assert attempt.run("SELECT * FROM note") == [("ann",)]
        attempt.end()

    run(changing, install.change(LATEST, 1))
    after = [changing.execute(q).fetchall() for q in (FUNCTIONS, EVERYTHING, NOTE)]
    assert after == before
    run(changing, install.change(1, LATEST))
    assert changing.execute("SELECT jwtrole.version()").fetchone() == (LATEST,)


@pytest.mark.parametrize("way", [(1, LATEST), (LATEST, 1), (2, LATEST), (LATEST, 2)])
def test_a_change_that_fails_half_way_leaves_all_as_it_was(
    changing: psycopg.Connection, way: tuple[int, int]
) -> None:
    """Broken off after any of its statements, the version before is there whole."""
    run(changing, install.change(1, way[0]))
    queries = (FUNCTIONS, EVERYTHING, NOTE)
    before = [changing.execute(q).fetchall() for q in queries]
    statements = install.change(*way)
    for part in (1, len(statements) // 2, len(statements)):
        with pytest.raises(psycopg.errors.DivisionByZero):
            run(changing, (*statements[:part], "SELECT 1 / 0"))

        assert [changing.execute(q).fetchall() for q in queries] == before


def test_default_privileges_open_nothing(server: postgres.Server, worker: str) -> None:
    """What the owner grants by default on new objects is taken away again."""
    name = f"jwtrole_defaults_{worker}"
    server.create_database(name, schema=False)
    with contextlib.closing(server.connect(postgres.OWNER, name)) as owner:
        owner.execute("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO member")
        owner.execute("ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO member")
        owner.execute("ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO member")
        owner.execute(
            "ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC"
        )
        install_database_mode(server, name)

        reach = owner.execute(
            "SELECT c.relname::text FROM pg_class AS c"
            " WHERE c.relnamespace = 'jwtrole'::regnamespace AND c.relkind IN"
            " ('r', 'v') AND has_any_column_privilege('member', c.oid, 'SELECT')"
            " UNION ALL SELECT p.proname FROM pg_proc AS p"
            " WHERE p.pronamespace = 'jwtrole'::regnamespace"
            " AND has_function_privilege('member', p.oid, 'EXECUTE') ORDER BY 1"
        ).fetchall()
        owners = owner.execute(
            "SELECT DISTINCT relowner::regrole::text FROM pg_class"
            " WHERE relnamespace = 'jwtrole'::regnamespace UNION"
            " SELECT proowner::regrole::text FROM pg_proc"
            " WHERE pronamespace = 'jwtrole'::regnamespace"
        ).fetchall()
    server.drop_database(name)

    assert [name for (name,) in reach] == [
        "claim", "claims", "require", "sealed", "subject", "version",
    ]  # fmt: skip
    assert owners == [(install.OWNER_ROLE,)]


@pytest.mark.parametrize("conforming", ["on", "off"])
def test_the_schema_is_the_same_under_any_quoting(
    changing: psycopg.Connection, conforming: str
) -> None:
    """No statement of it holds a backslash, so that it installs under any setting."""
    changing.execute(f"SET standard_conforming_strings = {conforming}".encode())
    run(changing, install.change(1, LATEST))
    run(changing, install.change(LATEST, 1))

    for version in install.versions():
        release = install.release(version)
        assert "\\" not in "".join((*release.up(), *release.down()))


def test_sql_prints_the_database_mode_and_lets_the_login_in(
    server: postgres.Server, worker: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The printed text, run whole by the owner, installs, grants, and removes."""
    name = f"jwtrole_printed_{worker}"
    server.create_database(name, schema=False)
    with contextlib.closing(server.connect(postgres.OWNER, name)) as owner:
        words = ["sql", "--trust", "database"]
        assert main([*words, "--login", postgres.LOGIN, "--login", postgres.TEST]) == 0
        owner.execute(capsys.readouterr().out.encode())
        allowed = owner.execute(
            "SELECT r FROM unnest(%s::text[]) AS r WHERE"
            " has_function_privilege(r, 'jwtrole.login(text)', 'EXECUTE')"
            " AND has_function_privilege(r, 'jwtrole.resume(text)', 'EXECUTE')"
            " AND has_function_privilege(r, 'jwtrole.anonymous()', 'EXECUTE')",
            ([postgres.LOGIN, postgres.TEST, "anon", "member"],),
        ).fetchall()
        assert allowed == [(postgres.LOGIN,), (postgres.TEST,)]

        assert main([*words, "--down"]) == 0
        owner.execute(capsys.readouterr().out.encode())
        assert owner.execute(install.installed_version_sql()).fetchone() == (False,)
    server.drop_database(name)


def test_sql_changes_the_mode(capsys: pytest.CaptureFixture[str]) -> None:
    """With --from the printed text turns one installed version into another."""
    words = ["sql", "--trust", "database", "--from", "1", "--login", postgres.LOGIN]

    assert main(words) == 0

    printed = capsys.readouterr().out
    for statement in install.change(1, LATEST):
        assert f"{statement};\n" in printed
    assert "GRANT EXECUTE ON FUNCTION jwtrole.login(text)" in printed
    assert main(["sql", "--from", "9"]) == 1
    assert "no version 9" in capsys.readouterr().err


def test_releases_know_their_mode() -> None:
    """Each mode has a newest release; that of the database mode is the default."""
    assert install.latest("application").trust == "application"
    assert install.latest("database") == install.release()
    assert install.latest("application").grants("x") == ()
    assert install.latest("application").revokes("x") == ()
    assert install.change(LATEST, LATEST) == install.latest("database").up()[-1:]
    with pytest.raises(ConfigurationError, match="application, database, not 'none'"):
        install.latest("none")
