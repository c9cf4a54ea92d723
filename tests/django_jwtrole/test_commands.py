"""Django's commands run as the owner; a stock project works with them."""

from __future__ import annotations

import importlib
import io
import json
import socket
import time
import urllib.error
import urllib.request
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command, load_command_class
from django.core.management.base import OutputWrapper
from django.db import connections

from jwtrole.testing import ThrowawayIssuer
from tests.django_project.process import Project

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from django.conf import LazySettings

    from tests import postgres

OWNERS = (
    "createcachetable", "dbshell", "dumpdata", "flush", "inspectdb", "loaddata",
    "migrate", "showmigrations", "sqlflush", "sqlmigrate", "sqlsequencereset",
)  # fmt: skip
CONTRIBS = ("changepassword", "createsuperuser", "remove_stale_contenttypes")


@pytest.fixture(scope="module")
def project(server: postgres.Server) -> Iterator[Project]:
    """Return the project on a database that holds nothing yet."""
    name = f"stock_{uuid.uuid4().hex[:8]}"
    server.create_database(name, schema=False)
    yield Project(server, name)
    server.drop_database(name)


@pytest.fixture
def outside_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the protected alias look as it does outside of tests."""
    given = connections["default"].settings_dict
    monkeypatch.setitem(given, "TEST", {**given["TEST"], "JWTROLE_NOBODY": None})


def _default(name: str) -> str:
    command: Any = load_command_class("django_jwtrole", name)
    return command.create_parser("manage.py", name).get_default("database")


@pytest.mark.parametrize("name", OWNERS + CONTRIBS)
def test_the_owners_alias_is_the_default(name: str) -> None:
    """Each command that touches the database does so as the owner."""
    assert _default(name) == "owner"


def test_djangos_own_tables_have_their_alias(settings: LazySettings) -> None:
    """Commands about users and content types run on CONTRIB, else as the owner."""
    settings.JWTROLE = {**settings.JWTROLE, "CONTRIB": "default"}
    assert [_default(name) for name in CONTRIBS] == ["default"] * 3
    settings.JWTROLE = {**settings.JWTROLE, "CONTRIB": None}
    assert [_default(name) for name in CONTRIBS] == ["owner"] * 3


def test_a_protected_alias_is_refused(outside_tests: None) -> None:
    """On the application's login a command names the alias to use."""
    with pytest.raises(CommandError, match="--database owner"):
        call_command("migrate", database="default")


def test_broken_settings_are_a_commands_error(settings: LazySettings) -> None:
    """A command under broken settings says what is wrong with them."""
    settings.JWTROLE = {**settings.JWTROLE, "OWNER": "nobody"}

    with pytest.raises(CommandError, match="no alias"):
        call_command("flush")


@pytest.mark.django_db(databases=["default", "owner"])
def test_commands_read_the_migrations_as_the_login() -> None:
    """Looking for new or unapplied migrations needs nobody to act."""
    out = io.StringIO()
    call_command("makemigrations", check_changes=True, dry_run=True, stdout=out)
    call_command("createsuperuser", "--noinput", username="a", email="a@example.com")
    call_command("migrate", "billing", plan=True, stdout=out)
    call_command("showmigrations", "billing", stdout=out)

    assert "No changes detected" in out.getvalue()
    assert "[X] 0001_initial" in out.getvalue()


@pytest.mark.django_db(databases=["default", "owner"])
def test_partial_data_is_an_error() -> None:
    """Where the owner sees a part of the rows dumpdata fails instead of dumping it."""
    from django.db import ProgrammingError

    with connections["owner"].cursor() as cursor:
        cursor.execute("ALTER TABLE invoice FORCE ROW LEVEL SECURITY")
    with pytest.raises((CommandError, ProgrammingError), match="row-level security"):
        call_command("dumpdata", "billing", stdout=io.StringIO())


def test_row_security_is_left_alone_elsewhere() -> None:
    """Another database has no such setting and needs none."""
    from django_jwtrole.management import owner

    class Elsewhere:
        vendor = "sqlite"

    kept = connections["owner"]
    connections["owner"] = Elsewhere()
    try:
        with owner._whole("owner"):
            pass
    finally:
        connections["owner"] = kept


def test_squashmigrations_reads_as_the_login() -> None:
    """The command squashmigrations reads the alias default as the bare login."""
    command: Any = load_command_class("django_jwtrole", "squashmigrations")

    assert type(command).execute.__qualname__ == "LoginCommand.execute"


@pytest.mark.django_db(databases=["default", "owner"])
def test_runserver_is_that_of_staticfiles() -> None:
    """Where staticfiles is installed its server runs, and finds nothing unapplied."""
    from django.contrib.staticfiles.management.commands import runserver

    command: Any = load_command_class("django_jwtrole", "runserver")
    command.stdout = OutputWrapper(io.StringIO())
    command.check_migrations()

    assert isinstance(command, runserver.Command)
    assert command.stdout.getvalue() == ""


def test_runserver_works_without_staticfiles(settings: LazySettings) -> None:
    """Without staticfiles Django's own server runs."""
    from django.core.management.commands import runserver as stock

    from django_jwtrole.management.commands import runserver

    kept = settings.INSTALLED_APPS
    settings.INSTALLED_APPS = [app for app in kept if "staticfiles" not in app]
    bases = importlib.reload(runserver).Command.__bases__
    settings.INSTALLED_APPS = kept
    importlib.reload(runserver)

    assert bases[-1] is stock.Command


def test_a_stock_project_works(project: Project, tmp_path: Path) -> None:
    """A new project migrates, makes users, dumps and loads; nothing is left."""
    assert "[ ] 0001_install" in project.manage("showmigrations", "django_jwtrole")
    project.manage("migrate")
    assert "No changes" in project.manage("makemigrations", "--check", "--dry-run")
    assert "POLICY" in project.manage("sqlmigrate", "billing", "0001")
    user = ("--noinput", "--username", "root", "--email", "root@example.com")
    assert "created" in project.manage("createsuperuser", *user)
    dump = tmp_path / "users.json"
    dump.write_text(project.manage("dumpdata", "auth.user"))
    assert "root" in dump.read_text()
    project.manage("flush", "--noinput")
    assert "Installed 1 object" in project.manage("loaddata", str(dump))
    assert "--database owner" in project.manage(
        "migrate", "--database", "default", fails=True
    )
    project.manage("migrate", "billing", "zero")
    project.manage("migrate", "django_jwtrole", "zero")


def _get(url: str, token: str | None = None) -> tuple[int, bytes]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=headers)
        ) as found:
            return found.status, found.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def _token(**claims: Any) -> str:
    import jwt

    from tests.django_project.settings import JWTROLE

    trusted = JWTROLE["ISSUERS"][0]
    payload = {"iss": trusted["issuer"], "aud": "billing", "exp": int(time.time()) + 60}
    return jwt.encode({**payload, **claims}, trusted["secret"], algorithm="HS256")


@pytest.fixture
def sealed(server: postgres.Server) -> Iterator[Project]:
    """Return the project on an empty database that is to verify tokens itself."""
    name = f"sealed_{uuid.uuid4().hex[:8]}"
    server.create_database(name, schema=False)
    yield Project(server, name, "database")
    server.drop_database(name)


def test_runserver_serves_each_tenant_its_rows(project: Project) -> None:
    """Over real HTTP a token decides which rows are seen, and a bad one is refused."""
    project.manage("migrate", "--verbosity", "0")
    _serves(project)


def test_runserver_serves_where_the_database_verifies(sealed: Project) -> None:
    """Told whom to trust, the database lets each token read its tenant's rows."""
    sealed.manage("migrate", "--verbosity", "0")
    for _ in range(2):
        assert "owner: issuers" in sealed.manage("jwtrole", "issuers", "sync")
    _serves(sealed)


def test_a_refused_sync_is_a_commands_error(project: Project) -> None:
    """Where the database does not verify tokens there is nobody to tell."""
    project.manage("migrate", "--verbosity", "0")
    said = project.manage("jwtrole", "issuers", "sync", fails=True)
    assert "CommandError" in said
    assert "Traceback" not in said


def _serves(project: Project) -> None:
    tenant = uuid.uuid4()
    with project.server.connect("postgres", project.database) as admin:
        for number, owner in (("mine", tenant), ("theirs", uuid.uuid4())):
            admin.execute(
                "INSERT INTO invoice (id, number, tenant_id) "
                "VALUES (gen_random_uuid(), %s, %s)",
                (number, owner),
            )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    good = _token(role="member", tenant_id=str(tenant))
    with project.start(
        "runserver", "--noreload", "--nothreading", str(port)
    ) as process:
        try:
            _wait_for(port)
            assert json.loads(_get(f"{url}/invoices/", good)[1]) == {
                "numbers": ["mine"]
            }
            assert _get(f"{url}/invoices/stream/", good) == (200, b"mine\n")
            assert _get(f"{url}/invoices/", ThrowawayIssuer().mint())[0] == 401
            assert _get(f"{url}/invoices/", _token(role="root"))[0] == 403
            assert _get(f"{url}/admin/login/")[0] == 200
        finally:
            process.terminate()
            output, _ = process.communicate(timeout=30)
    assert "unapplied" not in output
    assert "Traceback" not in output


def _wait_for(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest.fail("runserver did not start")
