"""The owner's one way to its rows: for named tables, in one transaction.

FORCE ROW LEVEL SECURITY makes policies hold for the owner too, and none is for the
owner. Taken off and put back in one transaction, nobody else ever sees it off.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, ClassVar

from django.db import connections, transaction
from django.db.migrations.operations.base import Operation
from django.db.migrations.operations.fields import AddField
from django.db.models.sql import UpdateQuery

from django_jwtrole.conf import conf, is_protected
from django_jwtrole.postgresql.creation import nobody
from django_jwtrole.postgresql.forced import unforced
from django_jwtrole.postgresql.schema import PolicyEditorMixin
from jwtrole.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.backends.base.schema import BaseDatabaseSchemaEditor as Editor
    from django.db.migrations.state import ProjectState
    from django.db.models import Field, Model

__all__ = ["AddFilledField", "Elevated", "elevated"]


@contextlib.contextmanager
def elevated(*models: type[Model], using: str | None = None) -> Iterator[None]:
    """Let the owner read and write all rows of some models, for the length of a block.

    One transaction, in which nobody else can use these tables; when it fails nothing
    of it stays. On databases other than PostgreSQL it is a transaction and no more.

    Args:
        models: Whose tables.
        using: An alias that logs in as the owner; ``JWTROLE["OWNER"]`` where left out.

    Raises:
        ConfigurationError: The alias is the application's, which owns nothing.
    """
    alias = using or conf().owner
    connection = connections[alias]
    if is_protected(alias) and nobody(connection.settings_dict) is None:
        msg = (
            f"The alias {alias!r} is the application's and owns no table: elevated "
            f"work runs on {conf().owner!r}."
        )
        raise ConfigurationError(msg)
    with (
        transaction.atomic(using=alias),
        connection.cursor() as cursor,
        unforced(connection, cursor.execute, _tables(connection, models)),
    ):
        yield


@contextlib.contextmanager
def _elevated(editor: Editor, models: Sequence[type[Model]]) -> Iterator[None]:
    """Do the same in a migration, where sqlmigrate may want to see it."""
    connection = editor.connection
    with (
        transaction.atomic(using=connection.alias),
        unforced(connection, editor.execute, _tables(connection, models)),
    ):
        yield


def _tables(
    connection: BaseDatabaseWrapper, models: Sequence[type[Model]]
) -> list[str]:
    return [connection.ops.quote_name(model._meta.db_table) for model in models]


class Elevated(Operation):
    """Run operations that read or write all rows of some models.

    Args:
        models: ``"Order"`` of the same application, or ``"billing.Order"``.
        operations: What is run, ``RunPython`` and ``RunSQL`` for the most part.
    """

    serialization_expand_args: ClassVar[list[str]] = ["operations"]

    def __init__(self, models: Sequence[str], operations: Sequence[Operation]) -> None:
        self.models: list[str] = list(models)
        self.operations: list[Operation] = list(operations)

    @property
    def reversible(self) -> bool:  # type: ignore[override]
        """Say whether all of them can be undone."""
        return all(operation.reversible for operation in self.operations)

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        """Return what a migration writes."""
        given = {"models": self.models, "operations": self.operations}
        return type(self).__name__, [], given

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Change what they change."""
        for operation in self.operations:
            operation.state_forwards(app_label, state)

    def database_forwards(
        self,
        app_label: str,
        schema_editor: Editor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Run them, the first one first."""
        models = [_model(from_state, app_label, name) for name in self.models]
        with _elevated(schema_editor, models):
            for operation, before, after in self._steps(app_label, from_state):
                operation.database_forwards(app_label, schema_editor, before, after)

    def database_backwards(
        self,
        app_label: str,
        schema_editor: Editor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Undo them, the last one first."""
        models = [_model(from_state, app_label, name) for name in self.models]
        with _elevated(schema_editor, models):
            for operation, before, after in reversed(self._steps(app_label, to_state)):
                operation.database_backwards(app_label, schema_editor, after, before)

    def _steps(
        self, app_label: str, state: ProjectState
    ) -> list[tuple[Operation, ProjectState, ProjectState]]:
        steps = []
        for operation in self.operations:
            after = state.clone()
            operation.state_forwards(app_label, after)
            steps.append((operation, state, after))
            state = after
        return steps

    def describe(self) -> str:
        """Return one line about it."""
        return f"Run with all rows of {', '.join(self.models)}"


def _model(state: ProjectState, app_label: str, name: str) -> type[Model]:
    label, _, model = name.rpartition(".")
    return state.apps.get_model(label or app_label, model)


class AddFilledField(AddField):
    """Add a field to a table that has rows, and say what it is in them.

    Takes the place of an ``AddField`` that makemigrations wrote: the column comes
    empty, is filled in every row, and then gets its default and NOT NULL.

    Args:
        model_name: The model.
        name: The field's name.
        field: The field, as the model has it.
        fill: A value or an expression for the rows that are there.
        preserve_default: As for ``AddField``.
    """

    def __init__(
        self,
        model_name: str,
        name: str,
        field: Field[Any, Any],
        fill: Any,
        preserve_default: bool = True,  # noqa: FBT001, FBT002  Django's signature
    ) -> None:
        self.fill: Any = fill
        super().__init__(model_name, name, field, preserve_default)

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        """Return what a migration writes."""
        name, arguments, keywords = super().deconstruct()
        return name, list(arguments), {**keywords, "fill": self.fill}

    def database_forwards(
        self,
        app_label: str,
        schema_editor: Editor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Add, fill, and complete it."""
        alias = schema_editor.connection.alias
        source = from_state.apps.get_model(app_label, self.model_name)
        target = to_state.apps.get_model(app_label, self.model_name)
        if not isinstance(schema_editor, PolicyEditorMixin):
            super().database_forwards(app_label, schema_editor, from_state, to_state)
        elif self.allow_migrate_model(alias, target):
            field = target._meta.get_field(self.name)
            with _elevated(schema_editor, [target]):
                schema_editor.add_empty_field(source, field)
                schema_editor.execute(*_filling(target, alias, {self.name: self.fill}))
                schema_editor.complete_field(source, field)


def _filling(
    model: type[Model], alias: str, values: dict[str, Any]
) -> tuple[str, tuple[Any, ...]]:
    # Not QuerySet.update(): sqlmigrate shows the statement and runs nothing.
    query: Any = model._base_manager.using(alias).all().query.chain(UpdateQuery)
    query.add_update_values(values)
    text, parameters = query.get_compiler(alias).as_sql()
    return text, parameters
