"""``migrate`` ends with a proof, and ``manage.py jwtrole drift`` shows the same."""

from __future__ import annotations

import contextlib
import io
import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.db.migrations.recorder import MigrationRecorder

from django_jwtrole import comparison
from jwtrole.difference import Kind
from jwtrole.errors import DriftError
from tests.django_project import aliases
from tests.django_project.billing.models import Note
from tests.django_project.process import Project

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import psycopg
    from django.conf import LazySettings

    from tests import postgres

OPEN = "CREATE POLICY open ON invoice USING (true)"


@pytest.fixture(scope="module")
def made(server: postgres.Server, worker: str) -> Iterator[str]:
    """Return a database in which the project made its own tables alone."""
    name = f"proved_{worker}_{uuid.uuid4().hex[:8]}"
    server.create_database(name, schema=False)
    aliases.migrate(server, name)
    yield name
    server.drop_database(name)


@pytest.fixture
def alias(server: postgres.Server, made: str) -> Iterator[str]:
    """Return the owner's alias of that database."""
    with aliases.owning(server, made) as name:
        yield name


@pytest.fixture
def admin(server: postgres.Server, made: str) -> Iterator[psycopg.Connection]:
    """Return a superuser's connection; what it opened is closed afterwards."""
    with contextlib.closing(server.connect("postgres", made)) as connection:
        yield connection
        connection.execute("DROP POLICY IF EXISTS open ON invoice")


def migrate(alias: str, *words: str, **options: Any) -> tuple[str, str]:
    """Run the command and return what it said, on both ways out."""
    out, err = io.StringIO(), io.StringIO()
    call_command("migrate", *words, database=alias, stdout=out, stderr=err, **options)
    return out.getvalue(), err.getvalue()


def test_migrate_refuses_to_end_in_drift(alias: str, admin: psycopg.Connection) -> None:
    """Everything migrated, an undeclared policy is an error that names the repair."""
    migrate(alias, "billing")
    admin.execute(OPEN.encode())

    with pytest.raises(DriftError, match="is not what the models declare") as caught:
        migrate(alias, "billing")

    [found] = caught.value.differences
    assert found.kind is Kind.PERMISSIVE_POLICY_UNDECLARED
    assert 'DROP POLICY "open" ON "invoice";' in str(caught.value)
    # What a shell shows of it: no traceback, the exit status 1.
    assert isinstance(caught.value, CommandError)
    assert caught.value.returncode == 1


def test_the_proof_is_left_out_on_request(
    alias: str, admin: psycopg.Connection
) -> None:
    """--no-drift-check is for one run, and says that nothing was proved."""
    admin.execute(OPEN.encode())

    _, said = migrate(alias, "billing", "--no-drift-check", verbosity=0)

    assert said == "Drift was not looked for: --no-drift-check was given.\n"
    with pytest.raises(DriftError):
        migrate(alias, "billing", verbosity=0)


def test_one_application_is_proved_for_itself(alias: str) -> None:
    """Other applications are unapplied: it is said what was not looked at."""
    said, _ = migrate(alias, "billing")

    assert "looked for in billing" not in said
    assert "looked for on tables without a model: " in said


def test_half_way_nothing_is_proved(alias: str, admin: psycopg.Connection) -> None:
    """Backwards, and with a migration to go, it is said that nothing was looked at."""
    admin.execute(OPEN.encode())
    recorder = MigrationRecorder(connections[alias])
    recorder.record_unapplied("billing", "0001_initial")
    try:
        # An application without policies, while billing has a migration to go.
        said, _ = migrate(alias, "contenttypes")
        quiet, _ = migrate(alias, "contenttypes", verbosity=0)
    finally:
        recorder.record_applied("billing", "0001_initial")
    gone, _ = migrate(alias, "billing", "zero")
    migrate(alias, "billing")

    line = "Drift was not looked for in billing: 0001_initial is not applied."
    assert line in said
    assert quiet == ""
    assert line in gone


@pytest.mark.parametrize("option", ["plan", "check_unapplied", "prune"])
def test_only_looking_proves_nothing(
    alias: str, admin: psycopg.Connection, option: str
) -> None:
    """What changes nothing finds nothing."""
    admin.execute(OPEN.encode())

    with contextlib.suppress(SystemExit):
        migrate(alias, "billing", **{option: True})


def test_an_application_without_migrations_may_have_no_tables_yet(
    alias: str, settings: LazySettings, admin: psycopg.Connection
) -> None:
    """Before its first makemigrations an application is left out, and it is said."""
    settings.MIGRATION_MODULES = {"billing": None}
    migrate(alias, "contenttypes")
    admin.execute("ALTER TABLE billing_note RENAME TO kept")
    try:
        said, _ = migrate(alias, "contenttypes")
        assert comparison.unmade(alias) == {"billing"}
    finally:
        admin.execute("ALTER TABLE kept RENAME TO billing_note")

    assert "not looked for in billing: it has no migrations" in said


def test_changes_without_a_migration_are_named_first(
    alias: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A policy taken off the model is still there, and makemigrations comes first."""
    kept = [one for one in Note._meta.constraints if one.name != "note_own"]
    monkeypatch.setattr(Note._meta, "constraints", kept)
    monkeypatch.setitem(Note._meta.original_attrs, "constraints", kept)

    with pytest.raises(DriftError, match="makemigrations") as caught:
        migrate(alias, "billing")

    assert "The models of billing have changes that no migration has" in str(
        caught.value
    )
    assert caught.value.differences[0].object == "note_own"


def test_a_policy_without_row_security_is_drift(
    alias: str, admin: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that declares a policy and no mixin is not taken for a protected one."""
    kept = [one for one in Note._meta.constraints if not one.name.endswith("_rls")]
    monkeypatch.setattr(Note._meta, "constraints", kept)
    admin.execute("ALTER TABLE billing_note DISABLE ROW LEVEL SECURITY")

    [found] = comparison.drift(alias)
    admin.execute(found.repair.encode())

    assert found.kind is Kind.ROW_SECURITY_OFF
    assert comparison.drift(alias) == []


def drift(alias: str, *words: str) -> tuple[int, str, str]:
    """Run the command and return the exit status and what it said."""
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command("jwtrole", "drift", *words, database=alias, stdout=out, stderr=err)
    except SystemExit as end:
        return int(str(end.code)), out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


def test_drift_is_shown_at_any_time(alias: str, admin: psycopg.Connection) -> None:
    """As text and as JSON, with the exit status 1 where something is found."""
    assert drift(alias) == (0, "No drift.\n", "")
    assert drift(alias, "--json") == (0, "[]\n", "")
    admin.execute(OPEN.encode())

    status, text, hints = drift(alias)
    again, listed, _ = drift(alias, "--json")

    assert (status, again) == (1, 1)
    assert 'repair: DROP POLICY "open" ON "invoice";' in text
    assert [one["object"] for one in json.loads(listed)] == ["open"]
    # Those of Django's own applications: only billing's are applied here.
    assert "is not applied: run `python manage.py migrate` first" in hints


@pytest.mark.parametrize("words", [("sync",), ("--sub", "x"), ("--until", "x")])
def test_drift_takes_nothing_else(alias: str, words: tuple[str, ...]) -> None:
    """Words that belong to the other commands are refused."""
    with pytest.raises(CommandError, match="makes no sense"):
        drift(alias, *words)


@pytest.mark.parametrize("words", [("deny",), ("issuers", "sync", "--json")])
def test_the_others_do_not_take_what_is_drifts(words: tuple[str, ...]) -> None:
    """An issuer must be named, and there is nothing to print as JSON."""
    with pytest.raises(CommandError, match="makes no sense"):
        call_command("jwtrole", *words)


def test_another_projects_tables_are_left_alone(
    alias: str, admin: psycopg.Connection
) -> None:
    """What jwtrole made for somebody else in the same database is no drift here."""
    admin.execute("CREATE TABLE orders ()")
    admin.execute("CREATE POLICY theirs ON orders")
    admin.execute("COMMENT ON POLICY theirs ON orders IS 'jwtrole:1:0'")
    try:
        assert comparison.drift(alias) == []
    finally:
        admin.execute("DROP TABLE orders")


PROTECTING = """
from django.db import migrations, models
from django.db.models import Q
from django_jwtrole import Claim, Grant, Policy
from django_jwtrole.protect import Protect

class Migration(migrations.Migration):
    dependencies = [("auth", "0012_alter_user_first_name_max_length")]
    operations = [Protect("auth.Group", [
        Policy(
            name="named", using=Q(name=Claim("group", models.TextField())),
            to=["member"],
        ),
        Grant(name="named_read", to="member", on=["SELECT"]),
    ])]
"""


def test_what_a_migration_protects_is_no_drift(
    alias: str,
    settings: LazySettings,
    admin: psycopg.Connection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Tables that ``Protect`` is for stay as it made them, and nothing opens them."""
    package = tmp_path / "protecting"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "0001_groups.py").write_text(PROTECTING)
    monkeypatch.syspath_prepend(tmp_path)
    settings.MIGRATION_MODULES = {"sessions": "protecting"}
    table = "auth_group"
    try:
        migrate(alias, "sessions")
        migrate(alias, "sessions")
        admin.execute(f"CREATE POLICY open ON {table} USING (true)".encode())
        admin.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY".encode())
        found = comparison.drift(alias)
        for one in found:
            admin.execute(one.repair.encode())
        again = comparison.drift(alias)
    finally:
        migrate(alias, "sessions", "zero", "--no-drift-check")

    assert [(one.kind, one.table) for one in found] == [
        (Kind.PERMISSIVE_POLICY_UNDECLARED, f"public.{table}"),
        (Kind.ROW_SECURITY_OFF, f"public.{table}"),
    ]
    assert again == []


@pytest.mark.django_db(databases=["default", "owner"])
def test_a_test_database_is_without_force() -> None:
    """There the owner writes fixtures: it is no drift, and the rest is compared."""
    with connections["owner"].cursor() as cursor:
        cursor.execute(
            "SELECT relforcerowsecurity FROM pg_class WHERE relname = 'invoice'"
        )
        assert cursor.fetchall() == [(False,)]
        assert comparison.drift("owner") == []
        assert comparison.drift("default") == []
        cursor.execute(OPEN)
    [found] = comparison.drift("owner")
    assert found.object == "open"
    with pytest.raises(DriftError):
        migrate("owner")


def test_other_databases_are_not_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where there is no row security nothing can be proved, and nothing is said."""
    from django_jwtrole.management.drift import prove

    class Elsewhere:
        vendor = "sqlite"

    kept = connections["owner"]
    connections["owner"] = Elsewhere()
    try:
        prove(None, {"database": "owner"})  # type: ignore[arg-type]
    finally:
        connections["owner"] = kept


def test_a_project_is_proved_as_a_user_runs_it(
    server: postgres.Server, worker: str
) -> None:
    """Fresh from migrate nothing is said; what is done by hand ends the next one."""
    name = f"proof_{worker}_{uuid.uuid4().hex[:8]}"
    server.create_database(name, schema=False)
    project = Project(server, name)
    try:
        assert "rift" not in project.manage("migrate")
        with server.connect("postgres", name) as admin:
            admin.execute("ALTER TABLE invoice NO FORCE ROW LEVEL SECURITY")
        said = project.manage("migrate", fails=True)
        listed = project.manage("jwtrole", "drift", "--json", fails=True)
    finally:
        server.drop_database(name)

    assert "Drifted: The database is not what the models declare." in said
    assert "Traceback" not in said
    assert json.loads(listed)[0]["kind"] == "row-security-not-forced"
