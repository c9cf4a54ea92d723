"""Test databases: Django's runner and pytest, serial and parallel, kept and dropped."""

from __future__ import annotations

import subprocess
import sys
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from django_jwtrole.postgresql.creation import nobody
from tests.django_project.process import ROOT, Project

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.conf import LazySettings

    from tests import postgres

BILLING = "tests.django_project.billing"
TESTS = """
import pytest
from tests.django_project.billing.models import Invoice
from tests.django_project.billing.tests import Flushed, InTransaction

@pytest.mark.django_db
@pytest.mark.parametrize("i", range(3))
def test_rows(i):
    Invoice.objects.create(number="x", tenant_id="0" * 32)
    assert Invoice.objects.count() == 1
"""


@pytest.fixture(params=["application", "database"])
def project(
    server: postgres.Server, request: pytest.FixtureRequest
) -> Iterator[Project]:
    """Return a project whose test databases nobody else has, in either mode."""
    name = f"creation_{uuid.uuid4().hex[:8]}"
    yield Project(server, name, request.param)
    for suffix in ("", "_1", "_2", "_gw0", "_gw1"):
        server.drop_database(f"test_{name}{suffix}")


def _databases(project: Project) -> set[str]:
    with project.server.connect("postgres", "postgres") as admin:
        rows = admin.execute(
            "SELECT datname FROM pg_database WHERE starts_with(datname, %s)",
            (f"test_{project.database}",),
        )
        return {name for (name,) in rows.fetchall()}


def test_djangos_runner_makes_uses_and_drops_the_database(project: Project) -> None:
    """A user's tests pass in transactions, flushed, and restored from saved data."""
    flushed = project.manage("test", BILLING, "--noinput", "--exclude-tag=restored")
    restored = project.manage("test", BILLING, "--noinput", "--tag=restored")
    assert "Ran 4 tests" in flushed
    assert "Ran 3 tests" in restored
    assert _databases(project) == set()


def test_djangos_runner_works_in_parallel_and_keeps(project: Project) -> None:
    """Clones are made, used, kept and used again."""
    options = (
        "test",
        BILLING,
        "--noinput",
        "--exclude-tag=restored",
        "--parallel=2",
        "--keepdb",
    )
    assert "OK" in project.manage(*options)
    kept = {f"test_{project.database}{suffix}" for suffix in ("", "_1", "_2")}
    assert _databases(project) == kept
    assert "OK" in project.manage(*options[:-1])
    assert _databases(project) == set()


@pytest.mark.parametrize(
    "options",
    [["--reuse-db"], ["--reuse-db", "--create-db", "-n", "2"], ["--nomigrations"]],
    ids=["reuse", "xdist", "nomigrations"],
)
def test_pytest_makes_and_uses_the_database(
    project: Project, tmp_path: Any, options: list[str]
) -> None:
    """The same tests pass under pytest-django, whichever way it makes the database."""
    (tmp_path / "test_billing.py").write_text(TESTS)
    for _ in range(2 if options == ["--reuse-db"] else 1):
        run = subprocess.run(
            [
                sys.executable, "-m", "pytest", "-q",
                "-p", "no:cacheprovider", "-p", "no:asyncio",
                "-c", "/dev/null", "--rootdir", str(tmp_path), *options, str(tmp_path),
            ],
            cwd=ROOT, env=project.environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert run.returncode == 0, run.stdout + run.stderr
        assert "7 passed" in run.stdout


def test_an_alias_for_djangos_tables_keeps_its_login(
    creation: Any, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unprotected alias names the test database and stays who it is."""
    given = creation.connection.settings_dict
    monkeypatch.setitem(given, "USER", "app_admin")
    monkeypatch.setitem(given, "TEST", {"NAME": None})
    monkeypatch.setitem(given, "NAME", "before")
    monkeypatch.setattr(connections["owner"].creation, "create_test_db", lambda: "made")
    settings.JWTROLE = {**settings.JWTROLE, "CONTRIB": "default"}

    assert creation.create_test_db() == "made"
    assert (given["USER"], given["NAME"], nobody(given)) == ("app_admin", "made", None)


@pytest.fixture
def creation() -> Any:
    """Return what makes the test database of the protected alias."""
    return connections["default"].creation


def test_the_login_for_tests_must_be_named(
    creation: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without DATABASES[...]["TEST"]["USER"] no test database is made."""
    given = creation.connection.settings_dict
    test = {key: value for key, value in given["TEST"].items() if key != "USER"}
    monkeypatch.setitem(given, "TEST", test)

    with pytest.raises(ImproperlyConfigured, match=r"'default'.*'TEST'.*'USER'"):
        creation.create_test_db(verbosity=0)


def test_the_owner_must_have_our_engine(
    creation: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An owner on another engine could not make the database: an error says so."""
    monkeypatch.setattr(connections["owner"], "creation", object())

    with pytest.raises(ImproperlyConfigured, match="another engine"):
        creation.create_test_db(verbosity=0)


@pytest.mark.django_db
def test_only_the_owner_is_let_in() -> None:
    """In the test database the owner passes row security, and only there as itself."""
    from tests.django_jwtrole.factories import InvoiceFactory
    from tests.django_project.billing.models import Invoice

    InvoiceFactory()
    outside = nobody(connections["default"].settings_dict)
    with connections["default"].cursor() as cursor:
        cursor.execute(
            "SELECT relrowsecurity, relforcerowsecurity FROM pg_class "
            "WHERE relname = 'invoice'"
        )
        assert cursor.fetchone() == (True, False)
    assert outside is not None
    assert outside.role == "app_owner"
    assert Invoice.objects.count() == 1


@pytest.mark.django_db
def test_deferred_constraints_are_settled_between_identities() -> None:
    """What one identity left to the end is checked before another takes over."""
    from django.db import IntegrityError, transaction

    from django_jwtrole.testing import acting_as

    table = (
        "CREATE TABLE pair (id int PRIMARY KEY, "
        "other int REFERENCES pair DEFERRABLE INITIALLY DEFERRED)"
    )
    with transaction.atomic(), connections["default"].cursor() as cursor:
        cursor.execute(table)
        cursor.execute("INSERT INTO pair VALUES (1, 2)")
        with (
            acting_as(role="member"),
            pytest.raises(IntegrityError, match="pair_other_fkey"),
        ):
            cursor.execute("SELECT 1")
        transaction.set_rollback(True)


@pytest.mark.django_db
def test_an_open_cursor_meets_no_other_identity() -> None:
    """Another identity closes what is open: the rest of the rows is an error."""
    from django.db import ProgrammingError

    from django_jwtrole.testing import acting_as
    from tests.django_jwtrole.conftest import BLUE, RED
    from tests.django_jwtrole.factories import InvoiceFactory
    from tests.django_project.billing.models import Invoice

    for tenant in (RED, RED, BLUE):
        InvoiceFactory(tenant_id=tenant)
    with acting_as(role="member", tenant_id=str(RED)):
        rows = Invoice.objects.iterator(chunk_size=1)
        assert next(rows).tenant_id == RED
    with acting_as(role="member", tenant_id=str(BLUE)):
        assert Invoice.objects.count() == 1
        with pytest.raises(ProgrammingError, match="does not exist"):
            next(rows)
