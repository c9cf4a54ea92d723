"""What a migration does for the whole database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState

from django_jwtrole.conf import auth, conf
from django_jwtrole.grants import GrantOn, RevokeOn
from django_jwtrole.operation import DatabaseOperation, run
from django_jwtrole.roles import logins, refuse_missing
from jwtrole.install import (
    OWNER_ROLE,
    change,
    installed_version_sql,
    latest,
    release,
)
from jwtrole.roles import Grant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.backends.base.schema import BaseDatabaseSchemaEditor as Editor

    from jwtrole.install import Release

__all__ = [
    "ChangeJWTRole",
    "GrantOn",
    "InstallJWTRole",
    "RevokeOn",
    "UpgradeJWTRole",
    "install_first",
    "logins",
]

#: The label of this application.
LABEL = "django_jwtrole"


class InstallJWTRole(DatabaseOperation):
    """Install the schema ``jwtrole`` and let the login see the list of migrations.

    Nothing happens on databases other than PostgreSQL. Backwards it removes whichever
    version is there.

    Args:
        version: The version of the schema; the newest for ``JWTROLE["TRUST"]`` where
            it is left out.
    """

    def __init__(self, version: int | None = None) -> None:
        self.version = version

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        """Return what a migration writes."""
        given = {} if self.version is None else {"version": self.version}
        return type(self).__name__, [], given

    def _forwards(self, schema_editor: Editor) -> None:
        _refuse_missing_roles(schema_editor)
        given = self.version
        wanted = latest(auth().trust) if given is None else release(given)
        run(schema_editor, wanted.up())
        for grant in _grants():
            run(schema_editor, grant.grant())
        _let_in(schema_editor, wanted)

    def _backwards(self, schema_editor: Editor) -> None:
        # An error while a policy or a default still needs the schema.
        for grant in _grants():
            run(schema_editor, grant.revoke())
        installed = _installed(schema_editor)
        if installed is not None:
            run(schema_editor, release(installed).down())

    def describe(self) -> str:
        """Return one line about it."""
        return "Install the schema jwtrole"

    @property
    def migration_name_fragment(self) -> str:
        """Return a part for the name of a migration."""
        return "install_jwtrole"


class ChangeJWTRole(DatabaseOperation):
    """Turn one version of the schema ``jwtrole`` into another, policies in place.

    To have the database verify tokens, change 1 to 3 and leave ``JWTROLE["TRUST"]``
    out. Nothing happens where the wanted version is there already, nor on databases
    other than PostgreSQL.

    Args:
        installed: The version that is there.
        wanted: The version that is to be there.
    """

    def __init__(self, installed: int, wanted: int) -> None:
        self.installed = installed
        self.wanted = wanted

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        """Return what a migration writes."""
        given = {"installed": self.installed, "wanted": self.wanted}
        return type(self).__name__, [], given

    def _forwards(self, schema_editor: Editor) -> None:
        self._go(schema_editor, self.installed, self.wanted)

    def _backwards(self, schema_editor: Editor) -> None:
        self._go(schema_editor, self.wanted, self.installed)

    def _go(self, schema_editor: Editor, installed: int, wanted: int) -> None:
        # A new database, that of tests for one, has the wanted version from the start.
        if schema_editor.collect_sql or _installed(schema_editor) != wanted:
            _change(schema_editor, installed, wanted)

    def describe(self) -> str:
        """Return one line about it."""
        return f"Change the schema jwtrole from {self.installed} to {self.wanted}"

    @property
    def migration_name_fragment(self) -> str:
        """Return a part for the name of a migration."""
        return f"jwtrole_{self.wanted}"


class UpgradeJWTRole(DatabaseOperation):
    """Bring an older schema ``jwtrole`` to a version of the same mode of trust.

    Nothing happens where it is that version or a newer one, nor on the way back: each
    version serves the release of jwtrole before it as well.

    Args:
        version: The version of the schema.
    """

    def __init__(self, version: int) -> None:
        self.version = version

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        """Return what a migration writes."""
        return type(self).__name__, [], {"version": self.version}

    def _forwards(self, schema_editor: Editor) -> None:
        installed, wanted = _installed(schema_editor), release(self.version)
        if installed is None or installed >= wanted.version:
            return
        if release(installed).trust == wanted.trust:
            _change(schema_editor, installed, wanted.version)

    def describe(self) -> str:
        """Return one line about it."""
        return f"Bring the schema jwtrole to version {self.version}"

    @property
    def migration_name_fragment(self) -> str:
        """Return a part for the name of a migration."""
        return f"jwtrole_{self.version}"


def _installed(schema_editor: Editor) -> int | None:
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(installed_version_sql())
        (there,) = cursor.fetchone()
        if not there:
            return None
        cursor.execute("SELECT jwtrole.version()")
        (installed,) = cursor.fetchone()
    return int(installed)


def _change(schema_editor: Editor, installed: int, wanted: int) -> None:
    run(schema_editor, change(installed, wanted))
    _let_in(schema_editor, release(wanted))


def _let_in(schema_editor: Editor, installed: Release) -> None:
    for role in dict.fromkeys(logins().values()):
        run(schema_editor, installed.grants(role))


def _grants() -> Iterator[Grant]:
    table = MigrationRecorder.Migration._meta.db_table
    for role in dict.fromkeys(logins().values()):
        yield Grant(table=table, role=role, on=("SELECT",))


def _refuse_missing_roles(schema_editor: Editor) -> None:
    wanted = [OWNER_ROLE, *logins().values(), *conf().fixed_roles]
    refuse_missing(schema_editor.connection, wanted)


def install_first(connection: BaseDatabaseWrapper) -> None:
    """Install the schema before any other migration: policies call its functions.

    Where the project has migrations turned off the operation runs by itself. Nothing
    happens on databases other than PostgreSQL.
    """
    if connection.vendor != "postgresql":
        return
    executor = MigrationExecutor(connection)
    targets = [key for key in executor.loader.graph.leaf_nodes() if key[0] == LABEL]
    if targets:
        if plan := executor.migration_plan(targets):
            executor.migrate(targets, plan)
        return
    with connection.cursor() as cursor:
        cursor.execute(installed_version_sql())
        (installed,) = cursor.fetchone()
    if not installed:
        executor.recorder.ensure_schema()
        state = ProjectState()
        with connection.schema_editor() as editor:
            InstallJWTRole().database_forwards(LABEL, editor, state, state)
