"""What an operation does that changes the database and no model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.migrations.operations.base import Operation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.db.backends.base.schema import BaseDatabaseSchemaEditor as Editor
    from django.db.migrations.state import ProjectState

__all__ = ["DatabaseOperation", "run"]


class DatabaseOperation(Operation):
    """Do something on PostgreSQL, and nothing to any model."""

    reversible = True
    reduces_to_sql = True

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Change no model."""

    def database_forwards(
        self,
        app_label: str,
        schema_editor: Editor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Do it."""
        if schema_editor.connection.vendor == "postgresql":
            self._forwards(schema_editor)

    def database_backwards(
        self,
        app_label: str,
        schema_editor: Editor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Undo it."""
        if schema_editor.connection.vendor == "postgresql":
            self._backwards(schema_editor)

    def _forwards(self, schema_editor: Editor) -> None: ...

    def _backwards(self, schema_editor: Editor) -> None: ...


def run(schema_editor: Editor, statements: Iterable[str]) -> None:
    """Send statements without any placeholder in them, or show them."""
    for statement in statements:
        schema_editor.execute(statement, params=None)
