"""Protect a table whose model is not yours to change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.migrations.operations.base import Operation

from django_jwtrole.constraint import TableConstraint
from django_jwtrole.policy import Policy, RowSecurity
from jwtrole.errors import ConfigurationError
from jwtrole.quoting import short_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from django.db.backends.base.schema import BaseDatabaseSchemaEditor as Editor
    from django.db.migrations.state import ProjectState
    from django.db.models import Model

__all__ = ["Protect"]


class Protect(Operation):
    """Give a table policies and grants, in a migration of an application of yours.

    For models of other people's applications, and for the tables that Django makes of
    a ``ManyToManyField`` (``"billing.Order_tags"``). The migration depends on the one
    that made the table. What changes later takes another operation, since
    ``makemigrations`` compares none of it.

    Args:
        model: The model as ``"app_label.Model"``.
        constraints: ``Policy`` and ``Grant``; any policy turns row security on.

    Raises:
        ConfigurationError: No label, or something that is none of these.
    """

    reversible = True
    reduces_to_sql = True

    def __init__(self, model: str, constraints: Sequence[TableConstraint]) -> None:
        if model.count(".") != 1:
            msg = f"Protect: {model!r} is no label such as 'auth.User'."
            raise ConfigurationError(msg)
        for one in constraints:
            if not isinstance(one, TableConstraint):
                msg = f"Protect on {model}: {one!r} is no Policy and no Grant."
                raise ConfigurationError(msg)
        self.model = model
        self.constraints: list[TableConstraint] = list(constraints)

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        """Return what a migration writes."""
        given = {"model": self.model, "constraints": self.constraints}
        return type(self).__name__, [], given

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Change no model: it is somebody else's."""

    def database_forwards(
        self,
        app_label: str,
        schema_editor: Editor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Turn row security on and create what is given."""
        model = self._model(schema_editor, from_state)
        if model is not None:
            for constraint in self._every():
                schema_editor.add_constraint(model, constraint)

    def database_backwards(
        self,
        app_label: str,
        schema_editor: Editor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Remove it, the last one first."""
        model = self._model(schema_editor, from_state)
        if model is not None:
            for constraint in reversed([*self._every()]):
                schema_editor.remove_constraint(model, constraint)

    def _model(self, editor: Editor, state: ProjectState) -> type[Model] | None:
        label, _, name = self.model.partition(".")
        found = state.apps.get_model(label, name)
        alias = editor.connection.alias
        return found if self.allow_migrate_model(alias, found) else None

    def _every(self) -> Iterator[TableConstraint]:
        given = self.constraints
        needed = any(isinstance(one, Policy) for one in given)
        if needed and not any(isinstance(one, RowSecurity) for one in given):
            name = f"{self.model.replace('.', '_').lower()}_rls"
            yield RowSecurity(name=short_name(name))
        yield from given

    def describe(self) -> str:
        """Return one line about it."""
        return f"Protect {self.model}"

    @property
    def migration_name_fragment(self) -> str:
        """Return a part for the name of a migration."""
        return f"protect_{self.model.replace('.', '_').lower()}"
