"""What all that is declared in ``Meta.constraints`` here has in common.

Each is created after the table, in the transaction of the migration, and dropped by
name: one that is gone is an error. Other databases ignore it.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from django.db.backends.ddl_references import Statement, Table
from django.db.models import BaseConstraint

if TYPE_CHECKING:
    from django.core.checks import CheckMessage
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.backends.base.schema import BaseDatabaseSchemaEditor as Editor
    from django.db.models import Model

__all__ = ["Render", "TableConstraint"]

#: Takes a table's name and returns the statements about it.
Render = Callable[[str], Sequence[str]]


class _Statements(Table):
    """Be statements about a table, for as long as its name may still change."""

    def __init__(self, table: str, render: Render) -> None:
        super().__init__(table, str)
        self._render = render

    def __str__(self) -> str:
        return ";\n".join(self._render(self.table))


class TableConstraint(BaseConstraint, abc.ABC):
    """Be something of a table that is no constraint but lives and dies with it."""

    # The stubs give these hooks optional arguments and no way to do nothing.
    def constraint_sql(  # type: ignore[override]
        self, model: type[Model], schema_editor: Editor
    ) -> None:
        """Have it created when the table is there."""
        statement = self.create_sql(model, schema_editor)
        if statement is not None:
            schema_editor.deferred_sql.append(statement)

    def create_sql(  # type: ignore[override]
        self, model: type[Model], schema_editor: Editor
    ) -> Statement | None:
        """Return what creates it."""
        return self._statement(model, schema_editor, self._create)

    def remove_sql(  # type: ignore[override]
        self, model: type[Model], schema_editor: Editor
    ) -> Statement | None:
        """Return what removes it."""
        return self._statement(model, schema_editor, self._remove)

    def _statement(
        self,
        model: type[Model],
        schema_editor: Editor,
        make: Callable[[type[Model], BaseDatabaseWrapper], Render],
    ) -> Statement | None:
        connection = schema_editor.connection
        if connection.vendor != "postgresql":
            return None
        statements = _Statements(model._meta.db_table, make(model, connection))
        return Statement("%(statements)s", statements=statements)

    @abc.abstractmethod
    def _create(
        self, model: type[Model], connection: BaseDatabaseWrapper
    ) -> Render: ...

    @abc.abstractmethod
    def _remove(
        self, model: type[Model], connection: BaseDatabaseWrapper
    ) -> Render: ...

    def validate(self, *_: Any, **__: Any) -> None:
        """Leave it to the database, which alone knows who is acting."""

    def deconstruct(self) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        """Return what a migration writes."""
        _, arguments, keywords = super().deconstruct()
        # Django 6 reads "fields" of every constraint when a field is renamed.
        written = {**keywords, **self._declared(), "fields": ()}
        return self._path, tuple(arguments), written

    _path: str

    def _declared(self) -> dict[str, Any]:
        return {}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TableConstraint):
            return NotImplemented
        return self.deconstruct() == other.deconstruct()

    def __hash__(self) -> int:
        return hash((type(self), self.name))

    def check(  # Django 6; a database check, hence called only with databases
        self, model: type[Model], connection: BaseDatabaseWrapper | None
    ) -> list[CheckMessage]:
        """Return what is wrong with its references to fields."""
        return self._check_references(model, self._references(model))  # type: ignore[attr-defined,no-any-return]

    #: The name of the same hook in Django 5.2.
    _check = check

    def _references(self, model: type[Model]) -> set[tuple[str, ...]]:
        return set()
