"""A migration whose connection breaks half-way leaves nothing, and runs again."""

from __future__ import annotations

import contextlib
import io
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from jwtrole import install, policy
from jwtrole.cli import main
from sqlalchemy_jwtrole.models import TenantMixin
from tests import postgres, trusting
from tests.database.acting import Attempt, TrustedIssuer
from tests.django_project.process import Project
from tests.sqlalchemy_jwtrole.test_alembic import ENV

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import psycopg

#: Everything that a migration can leave in a database.
LEFT = """
SELECT 'schema', nspname::text, '' FROM pg_namespace
    WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
UNION ALL SELECT 'relation', c.oid::regclass::text, relrowsecurity::text
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace
    WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
UNION ALL SELECT 'function', p.oid::regprocedure::text, prosrc
    FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = pronamespace
    WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
UNION ALL SELECT 'policy', polname::text, polrelid::regclass::text FROM pg_policy
UNION ALL SELECT 'grant', c.oid::regclass::text, relacl::text
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace
    WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
UNION ALL SELECT 'note', coalesce(obj_description(oid, 'pg_namespace'), ''), ''
    FROM pg_namespace WHERE nspname = 'jwtrole'
ORDER BY 1, 2, 3
"""
# Whoever begins a command of this kind waits until its connection is ended.
HOLD = """
CREATE SCHEMA held;
CREATE FUNCTION held.hold() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER
    AS 'BEGIN PERFORM pg_advisory_xact_lock(1); END';
CREATE EVENT TRIGGER held ON ddl_command_start WHEN TAG IN ('{}')
    EXECUTE FUNCTION held.hold();
SELECT pg_advisory_lock(1);
"""
LET_GO = "DROP EVENT TRIGGER held; DROP SCHEMA held CASCADE"
WAITING = (
    "SELECT pid, query FROM pg_stat_activity WHERE datname = current_database()"
    " AND wait_event_type = 'Lock'"
)


@pytest.fixture
def empty(server: postgres.Server) -> Iterator[str]:
    """Return a database without the schema."""
    name = f"interrupted_{uuid.uuid4().hex[:8]}"
    server.create_database(name, schema=False)
    yield name
    server.drop_database(name)


def left(server: postgres.Server, database: str) -> list[Any]:
    """Return everything that is in a database."""
    with server.connect("postgres", database) as admin:
        return admin.execute(LEFT).fetchall()


def end_who_waits(admin: psycopg.Connection) -> str:
    """End the connection of whoever waits and return what it was about to do."""
    for _ in range(6000):
        row = admin.execute(WAITING).fetchone()
        if row is not None:
            break
        time.sleep(0.01)
    assert row is not None, "nobody came this far"
    admin.execute("SELECT pg_terminate_backend(%s, 10000)", (row[0],))
    return str(row[1])


class Failing(threading.Thread):
    """Be work in a thread that is to end with an error."""

    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__()
        self._work = work
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        """Work, and keep the error."""
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001  for the test to look at
            self.error = error


def interrupt(
    server: postgres.Server, database: str, kind: str, work: Callable[[], object]
) -> str:
    """Break the connection of some work at a kind of command; return the error."""
    with contextlib.closing(server.connect("postgres", database)) as admin:
        admin.execute(HOLD.format(kind).encode())
        failing = Failing(work)
        end_who_waits(admin)
        failing.join(60)
        admin.execute(LET_GO)
    assert failing.error is not None
    return str(failing.error)


def installed(server: postgres.Server, database: str) -> str:
    """Return what the database records of the schema."""
    note = "SELECT obj_description('jwtrole'::regnamespace, 'pg_namespace')"
    with server.connect(postgres.OWNER, database) as owner:
        row = owner.execute(note).fetchone()
    assert row is not None
    return str(row[0])


def policies(server: postgres.Server, database: str) -> set[str]:
    """Return the policies of a database."""
    return {name for kind, name, _ in left(server, database) if kind == "policy"}


@pytest.fixture
def project(server: postgres.Server, empty: str) -> Project:
    """Return Django's project on an empty database that is to verify tokens."""
    return Project(server, empty, "database")


def broken_off(project: Project) -> None:
    """Run ``migrate`` and raise what it says when it fails."""
    said = project.manage("migrate", "--verbosity", "0", fails=True)
    raise RuntimeError(said)


def test_djangos_installation_leaves_nothing(
    project: Project, server: postgres.Server, empty: str
) -> None:
    """Broken off among its functions there is no schema and no record of it."""
    before = left(server, empty)

    said = interrupt(server, empty, "CREATE VIEW", lambda: broken_off(project))

    assert "terminating connection due to administrator command" in said
    kept = [row for row in left(server, empty) if "django_migrations" not in row[1]]
    assert kept == before
    assert "[ ] 0001_install" in project.manage("showmigrations", "django_jwtrole")

    project.manage("migrate", "--verbosity", "0")
    project.manage("jwtrole", "issuers", "sync")
    assert install.latest("database").sha256 in installed(server, empty)
    assert "billing_invoice_tenant" in policies(server, empty)


def test_djangos_tables_are_protected_or_not_there(
    project: Project, server: postgres.Server, empty: str
) -> None:
    """Broken off before its policy a table is gone; what came before it is whole."""
    said = interrupt(server, empty, "CREATE POLICY", lambda: broken_off(project))

    assert "terminating connection" in said
    names = {name for kind, name, _ in left(server, empty) if kind == "relation"}
    assert not names & {"invoice", "billing_note"}
    assert install.latest("database").sha256 in installed(server, empty)
    assert "[ ] 0001_initial" in project.manage("showmigrations", "billing")

    project.manage("migrate", "--verbosity", "0")
    assert {"billing_invoice_tenant", "note_own"} <= policies(server, empty)
    project.manage("migrate", "--check")


class Base(DeclarativeBase):
    """Be the tables of an application."""

    __jwtrole_to__ = ("member",)


class Parcel(TenantMixin, Base):
    """Be a protected table."""

    __tablename__ = "parcel"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)


class Letter(TenantMixin, Base):
    """Be another one."""

    __tablename__ = "letter"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)


REVISION = """
revision = "0001"
down_revision = None

from alembic import op


def upgrade():
    op.install_jwtrole({})
    op.execute("CREATE TABLE parcel (tenant_id uuid)")
    op.enable_row_security("parcel")
    using = "tenant_id = (SELECT jwtrole.claim('tenant_id')::uuid)"
    op.create_policy("parcel", name="parcel_tenant", to=["member"], using=using)
    op.grant("parcel", "member", on=["SELECT"])
"""


@pytest.mark.parametrize(
    ("trust", "kind"),
    [
        ("database", "CREATE VIEW"),
        ("database", "CREATE POLICY"),
        ("application", "COMMENT"),
        ("application", "GRANT"),
    ],
)
def test_alembics_upgrade_leaves_nothing(
    server: postgres.Server, empty: str, tmp_path: Path, trust: str, kind: str
) -> None:
    """Broken off anywhere neither schema nor table nor version is there."""
    config = Config(tmp_path / "alembic.ini", stdout=io.StringIO())
    command.init(config, str(tmp_path / "migrations"))
    (tmp_path / "migrations" / "env.py").write_text(ENV)
    release = install.latest(trust)
    revision = tmp_path / "migrations" / "versions" / "0001_install.py"
    revision.write_text(REVISION.format(release.version))
    config.attributes["url"] = server.url("psycopg", postgres.OWNER, empty)
    config.attributes["metadata"] = None
    before = left(server, empty)

    said = interrupt(server, empty, kind, lambda: command.upgrade(config, "head"))

    assert "terminating connection due to administrator command" in said
    assert left(server, empty) == before

    command.upgrade(config, "head")
    assert release.sha256 in installed(server, empty)
    assert policies(server, empty) == {"parcel_tenant"}


@pytest.mark.parametrize("kind", ["COMMENT", "CREATE POLICY", "GRANT"])
def test_create_all_leaves_nothing(
    server: postgres.Server, empty: str, kind: str
) -> None:
    """Broken off among functions, policies or grants, no table is there unprotected."""
    engine = sa.create_engine(server.url("psycopg", postgres.OWNER, empty))
    before = left(server, empty)

    said = interrupt(server, empty, kind, lambda: Base.metadata.create_all(engine))

    assert "terminating connection due to administrator command" in said
    assert left(server, empty) == before

    Base.metadata.create_all(engine)
    engine.dispose()
    assert policies(server, empty) == {"parcel_tenant", "letter_tenant"}


def test_the_printed_script_leaves_nothing(
    server: postgres.Server, empty: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What ``jwtrole sql`` prints is one transaction, however it ends."""
    main(["sql", "--trust", "database", "--login", postgres.LOGIN])
    script = capsys.readouterr().out
    before = left(server, empty)

    interrupt(server, empty, "CREATE VIEW", lambda: trusting.run(server, empty, script))

    assert left(server, empty) == before
    trusting.run(server, empty, script)
    assert install.latest("database").sha256 in installed(server, empty)


def test_a_change_of_mode_leaves_the_mode_before(
    server: postgres.Server, empty: str
) -> None:
    """Broken off on the way to the database mode the policies work as they did."""
    script = ";".join(install.latest("application").up())
    trusting.run(server, empty, script)
    own = policy.Policy(
        name="own", table="note", to=("member",), using="(SELECT jwtrole.sealed())"
    )
    trusting.run(server, empty, "CREATE TABLE note (author text)")
    trusting.run(server, empty, ";".join(own.create()))
    before = left(server, empty)

    interrupt(server, empty, "CREATE VIEW", lambda: trusting.upgrade(server, empty))

    assert left(server, empty) == before
    trusting.upgrade(server, empty)
    with server.connect(postgres.OWNER, empty) as owner:
        issuer = TrustedIssuer(owner)
        issuer.trust()
    with contextlib.closing(server.connect(postgres.LOGIN, empty)) as login:
        assert Attempt(login).log_in(issuer.mint())[0] == "member"


CONFIGURATION = """
from jwtrole import Issuer, JWTRole

auth = JWTRole(
    [Issuer("https://id.test/", audience="a", secret="s" * 32, algorithms=["HS256"])],
    roles=["member", "manager"],
    trust="database",
)
"""


def test_a_sync_leaves_the_trust_before(
    server: postgres.Server,
    empty: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Broken off before its first key nobody is trusted by half, and tickets go on."""
    (tmp_path / "told_by_halves.py").write_text(CONFIGURATION)
    monkeypatch.syspath_prepend(tmp_path)
    trusting.run(server, empty, ";".join(install.latest("database").up()))
    dsn = server.conninfo(postgres.OWNER, empty)
    words = ("issuers", "sync", "told_by_halves:auth", "--dsn", dsn)
    trust = (
        "SELECT (SELECT count(*) FROM jwtrole.issuer),"
        " (SELECT count(*) FROM jwtrole.role_map), (SELECT count(*) FROM jwtrole.key)"
    )
    with contextlib.closing(server.connect("postgres", empty)) as admin:
        with admin.transaction():
            admin.execute("LOCK TABLE jwtrole.key IN SHARE MODE")
            statuses: list[int] = []
            syncing = Failing(lambda: statuses.append(main(words)))
            with contextlib.closing(server.connect("postgres", empty)) as other:
                assert "jwtrole.add_key" in end_who_waits(other)
            syncing.join(60)

        assert statuses == [1]
        assert "Nothing was applied, the server said: terminating" in (
            capsys.readouterr().err
        )
        assert admin.execute(trust).fetchone() == (0, 0, 0)
        assert main(words) == 0
        assert admin.execute(trust).fetchone() == (1, 2, 1)
