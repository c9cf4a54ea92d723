"""What makemigrations writes, migrate does and undoes, with the stock autodetector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import call_command
from django.db import connections, models
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.questioner import MigrationQuestioner
from django.db.migrations.state import ModelState, ProjectState
from django.db.migrations.writer import MigrationWriter, OperationWriter
from django.db.models import Q

from django_jwtrole import Claim, Grant, Policy
from django_jwtrole.operations import (
    ChangeJWTRole,
    InstallJWTRole,
    UpgradeJWTRole,
    install_first,
    logins,
)
from django_jwtrole.policy import RowSecurity
from jwtrole.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.conf import LazySettings
    from django.db.backends.base.schema import BaseDatabaseSchemaEditor
    from django.db.migrations import Migration

    from tests import postgres

pytestmark = pytest.mark.django_db(databases=["default", "owner"])

POLICIES = "SELECT tablename, policyname FROM pg_policies WHERE tablename LIKE 'bank%'"
FLAGS = (
    "SELECT relname, relrowsecurity, relforcerowsecurity FROM pg_class "
    "WHERE relname LIKE 'bank%' AND relkind = 'r'"
)


def _own(column: str = "author", **given: Any) -> list[Any]:
    claim = Claim("sub", models.UUIDField())
    return [
        RowSecurity(name="bank_rls"),
        Policy(
            **{"name": "bank_own", "using": Q(**{column: claim}), "to": ["member"]}
            | given
        ),
        Grant(name="bank_grant", to="member", on=["SELECT", f"UPDATE({column})"]),
    ]


def _state(
    constraints: list[Any],
    name: str = "Account",
    column: str = "author",
    **options: Any,
) -> ProjectState:
    state = ProjectState()
    fields = [
        ("id", models.BigAutoField(primary_key=True)),
        (column, models.UUIDField(db_column="by" if "by" in options else None)),
    ]
    options.pop("by", None)
    given = {"constraints": constraints, **options}
    state.add_model(ModelState("bank", name, fields, given))
    return state


class History:
    """Take a schema from state to state, and all the way back."""

    def __init__(self) -> None:
        self.state = ProjectState()
        self.done: list[tuple[ProjectState, Migration]] = []

    def go(self, to: ProjectState) -> list[str]:
        """Detect and apply what leads to a state; a second look finds nothing."""
        asked = MigrationQuestioner({"ask_rename": True, "ask_rename_model": True})
        detector = MigrationAutodetector(self.state.clone(), to.clone(), asked)
        names = []
        for migration in detector._detect_changes().get("bank", []):
            MigrationWriter(migration).as_string()
            before = self.state.clone()
            with connections["owner"].schema_editor() as editor:
                self.state = migration.apply(self.state.clone(), editor)
            self.done.append((before, migration))
            names += [type(operation).__name__ for operation in migration.operations]
        again = MigrationAutodetector(self.state.clone(), to.clone(), asked)
        assert again._detect_changes() == {}
        return names

    def back(self) -> None:
        """Undo everything."""
        for before, migration in reversed(self.done):
            with connections["owner"].schema_editor() as editor:
                migration.unapply(before, editor)


def _rows(query: str) -> list[tuple[Any, ...]]:
    with connections["owner"].cursor() as cursor:
        cursor.execute(query)
        return sorted(cursor.fetchall())


@pytest.fixture
def history() -> History:
    """Return an empty schema."""
    return History()


def test_a_model_is_created_protected_and_removed(history: History) -> None:
    """Create and delete bring and take row security, policy and grant."""
    assert history.go(_state(_own())) == ["CreateModel"]
    assert _rows(POLICIES) == [("bank_account", "bank_own")]
    assert _rows(FLAGS) == [("bank_account", True, True)]
    history.go(ProjectState())
    assert _rows(FLAGS) == []
    history.back()
    assert _rows(FLAGS) == []


def test_protection_comes_and_goes(history: History) -> None:
    """A table that exists is protected by one migration and opened by another."""
    history.go(_state([]))
    assert history.go(_state(_own())) == ["AddConstraint"] * 3
    assert _rows(FLAGS) == [("bank_account", True, True)]
    assert history.go(_state([])) == ["RemoveConstraint"] * 3
    assert _rows(POLICIES) == []
    assert _rows(FLAGS) == [("bank_account", False, False)]
    history.back()


@pytest.mark.parametrize(
    "change",
    [
        {"to": ["member", "manager"]},
        {"check": Q(author__isnull=False)},
        {"command": "SELECT"},
        {"permissive": False},
        {"template": 0},
        {"using": Q(author=Claim("owner", models.UUIDField()))},
    ],
)
def test_every_change_of_a_policy_is_a_migration(
    history: History, change: dict[str, Any]
) -> None:
    """Whatever changes in a policy, the old one is dropped and the new one made."""
    history.go(_state(_own()))
    (before,) = _rows("SELECT oid FROM pg_policy WHERE polname = 'bank_own'")
    assert history.go(_state(_own(**change))) == ["RemoveConstraint", "AddConstraint"]
    (after,) = _rows("SELECT oid FROM pg_policy WHERE polname = 'bank_own'")
    assert before != after
    history.back()


def test_a_renamed_field_takes_its_policy_along(history: History) -> None:
    """The policy and the grant of a renamed field name the new one."""
    history.go(_state(_own()))
    operations = history.go(_state(_own("holder"), column="holder"))
    assert "RenameField" in operations
    assert _rows(POLICIES) == [("bank_account", "bank_own")]
    history.back()


def test_a_renamed_field_may_keep_its_column(history: History) -> None:
    """Renaming a field whose column stays works with changed constraints too."""
    history.go(_state(_own(), by=True))
    history.go(_state(_own("holder", to=["manager"]), column="holder", by=True))
    (qual,) = _rows("SELECT qual FROM pg_policies WHERE policyname = 'bank_own'")
    assert qual[0].startswith("(by = ")
    history.back()


def test_a_renamed_model_keeps_its_policy(history: History) -> None:
    """A renamed table leaves no policy behind under the old name."""
    history.go(_state(_own()))
    history.go(_state(_own(), name="Ledger"))
    assert _rows(POLICIES) == [("bank_ledger", "bank_own")]
    history.go(_state(_own(), name="Ledger", db_table="bank_book"))
    assert _rows(POLICIES) == [("bank_book", "bank_own")]
    history.back()
    assert _rows(FLAGS) == []


def test_the_projects_migrations_are_complete() -> None:
    """There is nothing for makemigrations to write, for the project or for us."""
    call_command("makemigrations", check_changes=True, dry_run=True, verbosity=0)


@pytest.fixture
def empty(server: postgres.Server, worker: str) -> Iterator[BaseDatabaseSchemaEditor]:
    """Return a schema editor of the owner on a database without the schema."""
    name = f"empty_{worker}"
    server.create_database(name, schema=False)
    owner = connections["owner"]
    wrapper = owner.copy()
    wrapper.settings_dict = {**owner.settings_dict, "NAME": name}
    wrapper.connect()
    editor = wrapper.SchemaEditorClass(wrapper, atomic=False)
    editor.deferred_sql = []
    yield editor
    wrapper.close()
    server.drop_database(name)


def _version(editor: Any) -> Any:
    with editor.connection.cursor() as cursor:
        cursor.execute("SELECT to_regprocedure('jwtrole.version()')::text")
        return cursor.fetchone()[0]


def _readers(editor: Any) -> bool:
    login = logins()["default"]
    with editor.connection.cursor() as cursor:
        cursor.execute(
            "SELECT has_table_privilege(%s, 'django_migrations', 'SELECT')", [login]
        )
        return bool(cursor.fetchone()[0])


def test_the_schema_is_installed_and_removed(empty: Any) -> None:
    """The first migration installs what policies call and lets the login look."""
    operation, state = InstallJWTRole(version=1), ProjectState()
    empty.execute("CREATE TABLE django_migrations (id int)")
    operation.state_forwards("django_jwtrole", state)
    operation.database_forwards("django_jwtrole", empty, state, state)
    assert (_version(empty), _readers(empty)) == ("jwtrole.version()", True)
    operation.database_backwards("django_jwtrole", empty, state, state)
    assert (_version(empty), _readers(empty)) == (None, False)


def test_the_mode_changes_and_changes_back(empty: Any) -> None:
    """A migration turns one mode into the other, and lets the login ask for it."""
    asks = "SELECT has_function_privilege(%s, 'jwtrole.login(text)', 'EXECUTE')"
    install, change, state = InstallJWTRole(1), ChangeJWTRole(1, 3), ProjectState()
    empty.execute("CREATE TABLE django_migrations (id int)")
    install.database_forwards("django_jwtrole", empty, state, state)

    change.state_forwards("billing", state)
    change.database_forwards("billing", empty, state, state)
    with empty.connection.cursor() as cursor:
        cursor.execute("SELECT jwtrole.version()")
        assert cursor.fetchone() == (3,)
        cursor.execute(asks, [logins()["default"]])
        assert cursor.fetchone() == (True,)

    change.database_backwards("billing", empty, state, state)
    with empty.connection.cursor() as cursor:
        cursor.execute("SELECT jwtrole.version()")
        assert cursor.fetchone() == (1,)
    install.database_backwards("django_jwtrole", empty, state, state)
    assert _version(empty) is None


def test_a_new_database_has_no_need_of_the_change(empty: Any) -> None:
    """Where the wanted version is there already, the change does nothing."""
    install, change, state = InstallJWTRole(3), ChangeJWTRole(1, 3), ProjectState()
    empty.execute("CREATE TABLE django_migrations (id int)")
    install.database_forwards("django_jwtrole", empty, state, state)

    change.database_forwards("billing", empty, state, state)
    with empty.connection.cursor() as cursor:
        cursor.execute("SELECT jwtrole.version()")
        assert cursor.fetchone() == (3,)
    install.database_backwards("django_jwtrole", empty, state, state)
    assert _version(empty) is None


def test_sqlmigrate_shows_them_on_an_empty_database(empty: Any) -> None:
    """What is not there yet is no reason to fail."""
    empty.collect_sql, empty.collected_sql = True, []
    for operation in (InstallJWTRole(), UpgradeJWTRole(3), ChangeJWTRole(1, 3)):
        operation.database_forwards(
            "django_jwtrole", empty, ProjectState(), ProjectState()
        )
        operation.database_backwards(
            "django_jwtrole", empty, ProjectState(), ProjectState()
        )

    assert any("CREATE FUNCTION jwtrole.login" in one for one in empty.collected_sql)
    assert _version(empty) is None


@pytest.mark.parametrize(("before", "after"), [(2, 3), (3, 3), (1, 1)])
def test_an_older_schema_is_upgraded_once(empty: Any, before: int, after: int) -> None:
    """What is older in the same mode becomes the newer; the rest stays as it is."""
    asks = "SELECT has_function_privilege(%s, 'jwtrole.differences(jsonb)', 'EXECUTE')"
    install, upgrade, state = InstallJWTRole(before), UpgradeJWTRole(3), ProjectState()
    empty.execute("CREATE TABLE django_migrations (id int)")
    install.database_forwards("django_jwtrole", empty, state, state)

    upgrade.state_forwards("django_jwtrole", state)
    upgrade.database_forwards("django_jwtrole", empty, state, state)
    upgrade.database_backwards("django_jwtrole", empty, state, state)
    with empty.connection.cursor() as cursor:
        cursor.execute("SELECT jwtrole.version()")
        assert cursor.fetchone() == (after,)
        if after == 3:
            cursor.execute(asks, [logins()["default"]])
            assert cursor.fetchone() == (True,)

    install.database_backwards("django_jwtrole", empty, state, state)
    assert _version(empty) is None


def test_the_database_mode_is_installed_and_removed(
    empty: Any, settings: LazySettings
) -> None:
    """JWTROLE["TRUST"] decides which mode the first migration installs."""
    settings.JWTROLE = {**settings.JWTROLE, "TRUST": "database"}
    operation, state = InstallJWTRole(), ProjectState()
    empty.execute("CREATE TABLE django_migrations (id int)")

    operation.database_forwards("django_jwtrole", empty, state, state)
    with empty.connection.cursor() as cursor:
        cursor.execute("SELECT jwtrole.version()")
        assert cursor.fetchone() == (3,)
    operation.database_backwards("django_jwtrole", empty, state, state)
    assert _version(empty) is None


def test_missing_roles_are_named_before_anything_is_done(
    empty: Any, settings: LazySettings
) -> None:
    """A role that nobody made is an error that prints the bootstrap line."""
    settings.JWTROLE = {**settings.JWTROLE, "ROLES": ["member", "no_such_role"]}
    state = ProjectState()

    with pytest.raises(
        ConfigurationError, match=r"no_such_role.*manage.py jwtrole bootstrap"
    ):
        InstallJWTRole().database_forwards("django_jwtrole", empty, state, state)
    assert _version(empty) is None


def test_other_databases_are_left_alone() -> None:
    """On SQLite the operation does nothing, forwards and backwards."""
    from django.db.backends.sqlite3.base import DatabaseWrapper

    given = connections["owner"].settings_dict
    sqlite = DatabaseWrapper({**given, "NAME": ":memory:"}, "sqlite")
    editor = sqlite.SchemaEditorClass(sqlite, collect_sql=True)
    state = ProjectState()
    InstallJWTRole().database_forwards("django_jwtrole", editor, state, state)
    InstallJWTRole().database_backwards("django_jwtrole", editor, state, state)
    ChangeJWTRole(1, 2).database_forwards("billing", editor, state, state)

    install_first(sqlite)

    assert editor.collected_sql == []
    assert sqlite.connection is None


def test_the_operation_can_be_written() -> None:
    """A migration and its listing can show the operation."""
    operation = InstallJWTRole(version=1)
    text, imports = OperationWriter(operation).serialize()

    assert "version=1" in text
    assert "import django_jwtrole.operations" in imports
    assert operation.describe() == "Install the schema jwtrole"
    assert operation.migration_name_fragment == "install_jwtrole"
    assert "version" not in OperationWriter(InstallJWTRole()).serialize()[0]
    change = ChangeJWTRole(1, 2)
    assert "wanted=2" in OperationWriter(change).serialize()[0]
    assert change.describe() == "Change the schema jwtrole from 1 to 2"
    assert change.migration_name_fragment == "jwtrole_2"


def test_projects_without_migrations_get_the_schema(
    empty: Any, settings: LazySettings
) -> None:
    """With migrations turned off the schema is installed all the same, once."""
    settings.MIGRATION_MODULES = {"django_jwtrole": None}
    connection = empty.connection
    with_alias = connections["owner"]
    connections["owner"] = connection
    try:
        install_first(connection)
        install_first(connection)
    finally:
        connections["owner"] = with_alias

    assert (_version(empty), _readers(empty)) == ("jwtrole.version()", True)
