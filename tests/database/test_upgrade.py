"""From the application mode to the database mode and back, policies in place."""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
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
    " p.proowner::regrole::text, ARRAY(SELECT unnest("
    "coalesce(p.proacl, acldefault('f', p.proowner)))::text ORDER BY 1)"
    " FROM pg_proc AS p WHERE p.pronamespace = 'jwtrole'::regnamespace ORDER BY 1"
)
EVERYTHING = (
    "SELECT c.oid::regclass::text, pg_get_viewdef(c.oid), c.reloptions,"
    " c.relowner::regrole::text, c.relacl::text FROM pg_class AS c"
    " WHERE c.relnamespace = 'jwtrole'::regnamespace ORDER BY 1"
)
NOTE = "SELECT obj_description('jwtrole'::regnamespace, 'pg_namespace')"
FROZEN = (
    "SELECT proname::text, pg_get_function_arguments(oid),"
    " pg_get_function_result(oid), provolatile::text, proparallel::text"
    " FROM pg_proc WHERE pronamespace = 'jwtrole'::regnamespace AND proname IN"
    " ('claim', 'claims', 'require', 'sealed', 'subject', 'version') ORDER BY 1"
)
WAYS = [(2, LATEST), (LATEST, 2)]


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


@pytest.fixture
def entering(
    changing: psycopg.Connection, server: postgres.Server
) -> Iterator[Attempt]:
    """Return the login role's connection to the same database."""
    name = changing.info.dbname
    with contextlib.closing(server.connect(postgres.LOGIN, name)) as found:
        yield Attempt(found)


def run(owner: psycopg.Connection, statements: tuple[str, ...]) -> None:
    """Run statements in one transaction."""
    with owner.transaction():
        for statement in statements:
            owner.execute(statement.encode())


def trusting(owner: psycopg.Connection, version: int) -> TrustedIssuer:
    """Bring a database to a version that verifies tokens; return whom it trusts."""
    grants = install.release(version).grants(postgres.LOGIN)
    run(owner, install.change(1, version) + grants)
    issuer = TrustedIssuer(owner)
    issuer.trust()
    return issuer


def test_up_and_down_with_policies_in_place(
    changing: psycopg.Connection, entering: Attempt
) -> None:
    """The same policy and default answer in both modes, and down restores all."""
    before = [changing.execute(q).fetchall() for q in (FUNCTIONS, EVERYTHING, NOTE)]
    frozen = changing.execute(FROZEN).fetchall()
    release = install.latest("database")
    issuer = trusting(changing, LATEST)

    assert changing.execute("SELECT jwtrole.version()").fetchone() == (LATEST,)
    assert changing.execute(FROZEN).fetchall() == frozen
    assert changing.execute(NOTE).fetchone() == (
        f"jwtrole {release.name} sha256:{release.sha256}",
    )
    entering.log_in(issuer.mint())
    entering.run("INSERT INTO note DEFAULT VALUES", "COMMIT")
    entering.log_in(issuer.mint(sub="bob"))
    assert entering.run("SELECT * FROM note") == []
    entering.end()
    entering.log_in(issuer.mint())
    assert entering.run("SELECT * FROM note") == [("ann",)]
    entering.end()

    run(changing, install.change(LATEST, 1))
    after = [changing.execute(q).fetchall() for q in (FUNCTIONS, EVERYTHING, NOTE)]
    assert after == before
    run(changing, install.change(1, LATEST))
    assert changing.execute("SELECT jwtrole.version()").fetchone() == (LATEST,)


@pytest.mark.parametrize("way", [(1, LATEST), (LATEST, 1), *WAYS])
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


@pytest.mark.parametrize("way", WAYS)
def test_a_ticket_is_good_across_a_change(
    changing: psycopg.Connection, entering: Attempt, way: tuple[int, int]
) -> None:
    """What one version handed out the other takes, on a session that knew the first."""
    issuer = trusting(changing, way[0])
    ticket = entering.ticket(issuer.mint(sub="Åsa: 7"))
    assert entering.resume(ticket) == "member"
    entering.end()
    run(changing, install.change(*way))

    assert entering.value("SELECT jwtrole.version()") == way[1]
    assert entering.resume_refused(ticket.replace("7", "8")) == "JW001"
    assert entering.resume(ticket) == "member"
    assert entering.value("SELECT jwtrole.claim('sub')") == "Åsa: 7"
    entering.run("SET LOCAL ROLE manager")
    assert entering.nobody


@pytest.mark.parametrize("way", WAYS)
def test_a_change_waits_for_whoever_is_acting(
    changing: psycopg.Connection, entering: Attempt, way: tuple[int, int]
) -> None:
    """A transaction that is sealed reads its claims to its end, and neither fails."""
    issuer = trusting(changing, way[0])
    ticket = entering.log_in(issuer.mint())[1]
    changing.execute("SET lock_timeout = '20s'")
    blockers = "SELECT pg_blocking_pids(%s)"
    with ThreadPoolExecutor(1) as pool:
        changed = pool.submit(run, changing, install.change(*way))
        late = time.monotonic() + 20
        # What has not waited yet has not come to the first view.
        while not entering.value(blockers, changing.info.backend_pid):
            assert not changed.done()
            assert time.monotonic() < late
            time.sleep(0.01)
        assert entering.value("SELECT jwtrole.claim('sub')") == "ann"
        entering.end()
        changed.result(20)

    assert entering.resume(ticket) == "member"
    assert entering.value("SELECT jwtrole.version()") == way[1]
    assert entering.sealed


def test_a_change_is_undone_to_the_letter(changing: psycopg.Connection) -> None:
    """Up and down again leave version 2, under defaults that would open all of it."""
    trusting(changing, 2)
    queries = (FUNCTIONS, EVERYTHING, NOTE)
    before = [changing.execute(q).fetchall() for q in queries]
    old = {name for name, *_ in before[0]}
    for whom in ("member", "PUBLIC"):
        changing.execute(
            f"ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO {whom}".encode()
        )
    run(changing, install.change(2, LATEST))

    made = [row for row in changing.execute(FUNCTIONS).fetchall() if row[0] not in old]
    assert len(made) == 4
    for name, _, owner, acl in made:
        own = f"{install.OWNER_ROLE}=X/{install.OWNER_ROLE}"
        assert (owner, acl) == (install.OWNER_ROLE, [own]), name
    run(changing, install.change(LATEST, 2))
    assert [changing.execute(q).fetchall() for q in queries] == before


def test_views_call_no_function_that_fits_better(
    server: postgres.Server, worker: str
) -> None:
    """A function that whoever may create one in the search path made is not taken."""
    name = f"jwtrole_fitting_{worker}"
    server.create_database(name, schema=False)
    with contextlib.closing(server.connect(postgres.OWNER, name)) as owner:
        owner.execute(
            "CREATE FUNCTION public.concat(bigint, text, oid) RETURNS text"
            " LANGUAGE sql AS $$SELECT 'other'$$"
        )
        install_database_mode(server, name)
        # The control: a call without a schema takes it.
        called = "SELECT {}concat(1::bigint, '/', 2::oid)"
        assert owner.execute(called.format("").encode()).fetchone() == ("other",)
        assert owner.execute(called.format("pg_catalog.").encode()).fetchone() == (
            "1/2",
        )

        # What is found in no search path is shown with its schema.
        owner.execute("SET search_path = ''")
        views = owner.execute(EVERYTHING).fetchall()
    server.drop_database(name)

    shown = "".join(view for _, view, *_ in views if view)
    assert "concat(i.system" in shown
    assert "public." not in shown


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
    up = install.latest("database").up()
    assert install.change(LATEST, LATEST) == (*up[:2], *up[-2:])
    with pytest.raises(ConfigurationError, match="application, database, not 'none'"):
        install.latest("none")
