"""A schema on its way: what the autodetector writes, applied, undone, applied again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.migrations import Migration
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.questioner import MigrationQuestioner
from django.db.migrations.state import ProjectState
from django.db.migrations.writer import MigrationWriter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.migrations.operations.base import Operation

LABEL = "bank"


class History:
    """Take a schema from state to state, and all the way back.

    Args:
        alias: Where, as the owner.
    """

    def __init__(self, alias: str = "owner") -> None:
        self.alias = alias
        self.state = ProjectState()
        self.done: list[tuple[ProjectState, Migration]] = []

    def detected(self, to: ProjectState) -> list[Migration]:
        """Return what leads to a state; each can be written to a file."""
        asked = MigrationQuestioner({"ask_rename": True, "ask_rename_model": True})
        detector = MigrationAutodetector(self.state.clone(), to.clone(), asked)
        found = [m for ms in detector._detect_changes().values() for m in ms]
        for migration in found:
            MigrationWriter(migration).as_string()
        return found

    def go(self, to: ProjectState) -> list[str]:
        """Detect and apply what leads to a state; a second look finds nothing."""
        names = []
        for migration in self.detected(to):
            self.apply(migration)
            names += [type(operation).__name__ for operation in migration.operations]
        assert self.detected(to) == []
        return names

    def run(self, *operations: Operation, atomic: bool = True) -> None:
        """Apply operations that somebody wrote by hand."""
        migration = Migration("by_hand", LABEL)
        migration.operations = list(operations)
        migration.atomic = atomic
        MigrationWriter(migration).as_string()
        self.apply(migration)

    def apply(self, migration: Migration) -> None:
        """Apply one migration."""
        before = self.state.clone()
        with self._editor(migration) as editor:
            self.state = migration.apply(self.state.clone(), editor)
        self.done.append((before, migration))

    def back(self) -> None:
        """Undo everything."""
        for before, migration in reversed(self.done):
            with self._editor(migration) as editor:
                migration.unapply(before, editor)

    def again(self) -> None:
        """Undo everything and do it once more."""
        self.back()
        done, self.done, self.state = self.done, [], ProjectState()
        for _, migration in done:
            self.apply(migration)

    def _editor(self, migration: Migration) -> Any:
        return connections[self.alias].schema_editor(atomic=migration.atomic)


def rows(alias: str, query: str, given: Sequence[object] = ()) -> list[tuple[Any, ...]]:
    """Return what a query finds."""
    with connections[alias].cursor() as cursor:
        cursor.execute(query, list(given) or None)
        return list(cursor.fetchall())
