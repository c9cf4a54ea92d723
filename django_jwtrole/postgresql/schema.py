"""The schema editor: policies survive what happens to the columns they read.

PostgreSQL changes no column's type while a policy reads it, and Django drops columns
and tables with CASCADE, which takes policies along without a word.
"""

from __future__ import annotations

import copy
import functools
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from django.db import IntegrityError, transaction
from django.db.backends.ddl_references import Statement
from django.db.models import NOT_PROVIDED

from django_jwtrole.constraint import TableConstraint
from django_jwtrole.expressions import ClaimDefault
from django_jwtrole.postgresql.forced import unforced
from django_jwtrole.postgresql.readers import Reader, readers
from jwtrole.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from django.apps.registry import Apps
    from django.db.backends.base.schema import BaseDatabaseSchemaEditor
    from django.db.models import BaseConstraint, Field, Model

    class _Editor(BaseDatabaseSchemaEditor):
        # Not in the stubs.
        def _alter_field(self, *args: Any, **options: Any) -> Any: ...

else:
    _Editor = object

__all__ = ["PolicyEditorMixin", "editor_class"]


class PolicyEditorMixin(_Editor):
    """Lift policies for a change of type, and let none be dropped unseen."""

    def _alter_field(
        self,
        model: type[Model],
        old_field: Field[Any, Any],
        new_field: Field[Any, Any],
        old_type: str | None,
        new_type: str | None,
        *args: Any,
        **options: Any,
    ) -> Any:
        change = functools.partial(
            super()._alter_field, model, old_field, new_field, old_type, new_type
        )
        if old_type == new_type or self.collect_sql:
            return change(*args, **options)
        apps = new_field.model._meta.apps
        with self._lifted(model, old_field.column, apps):
            return change(*args, **options)

    def execute(self, sql: Any, params: Any = ()) -> None:
        """Run a statement; a new foreign key sees every row of both tables.

        PostgreSQL checks it with a query of the owner's, which sees none under FORCE.
        """
        parts = sql.parts if isinstance(sql, Statement) else {}
        if "to_table" not in parts:
            super().execute(sql, params)
            return
        with self._seen(str(parts["table"]), str(parts["to_table"])):
            super().execute(sql, params)

    @contextmanager
    def _seen(self, *tables: str) -> Iterator[None]:
        run = super().execute
        with (
            transaction.atomic(self.connection.alias),
            unforced(self.connection, lambda one: run(one, None), tables),
        ):
            yield

    def add_field(self, model: type[Model], field: Field[Any, Any]) -> None:
        """Add a field; one whose default is a claim to a table without rows.

        Raises:
            ConfigurationError: There are rows, which would need a claim of nobody.
        """
        related = field.remote_field and getattr(field, "db_constraint", False)
        if related and field.column is not None:
            # Its foreign key comes in the same statement.
            pair = (model, cast("Any", field.remote_field).model)
            tables = [self.quote_name(one._meta.db_table) for one in pair]
            with self._seen(*tables):
                self._add_field(model, field)
        else:
            self._add_field(model, field)

    def _add_field(self, model: type[Model], field: Field[Any, Any]) -> None:
        if not isinstance(field.db_default, ClaimDefault):
            super().add_field(model, field)
            return
        # PostgreSQL would read the claim at once, even where there is no row.
        self.add_empty_field(model, field)
        try:
            self.complete_field(model, field)
        except IntegrityError:
            msg = (
                f"{model._meta.db_table} has rows, and nobody is acting whose claim "
                f"could be their {field.name}: in this migration put AddFilledField("
                f"..., fill=...) of django_jwtrole.elevated in place of AddField."
            )
            raise ConfigurationError(msg) from None

    def add_empty_field(self, model: type[Model], field: Field[Any, Any]) -> None:
        """Add the column of a field without default and NOT NULL."""
        bare: Any = copy.copy(field)
        bare.null, bare.default, bare.db_default = True, NOT_PROVIDED, NOT_PROVIDED
        super().add_field(model, bare)

    def complete_field(self, model: type[Model], field: Field[Any, Any]) -> None:
        """Give the column of a field what :meth:`add_empty_field` left out.

        Raises:
            IntegrityError: A row has no value in it.
        """
        table, column = map(self.quote_name, (model._meta.db_table, str(field.column)))
        alter = f"ALTER TABLE {table} ALTER COLUMN {column} SET"
        if field.db_default is not NOT_PROVIDED:
            default, parameters = self.db_default_sql(field)
            self.execute(f"{alter} DEFAULT {default}", parameters)
        if not field.null:
            self.execute(f"{alter} NOT NULL", params=None)

    def remove_field(self, model: type[Model], field: Field[Any, Any]) -> None:
        """Remove a field that no policy reads.

        Raises:
            ConfigurationError: A policy reads it, on whichever table.
        """
        if field.column is not None:
            self._refuse_readers(model, field.column)
        super().remove_field(model, field)

    def delete_model(self, model: type[Model]) -> None:
        """Delete a model; policies of other tables that read it must go as well.

        Raises:
            ConfigurationError: In a migration that is not atomic one of them is there.
        """
        if not self.atomic_migration:
            self._refuse_readers(model, None)
        elif not self.collect_sql:
            for one in self._readers(model, None, follow=False):
                self._drop(one)
                self._gone.append((model._meta.db_table, one))
        super().delete_model(model)

    def remove_constraint(self, model: type[Model], constraint: BaseConstraint) -> None:
        """Remove a constraint, unless a model that it read took it along."""
        for gone in self._gone:
            if (gone[1].db_table, gone[1].name) == (
                model._meta.db_table,
                constraint.name,
            ):
                self._gone.remove(gone)
                return
        super().remove_constraint(model, constraint)

    @functools.cached_property
    def _gone(self) -> list[tuple[str, Reader]]:
        """Keep the policies that a deleted model took along, and which it was."""
        return []

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the migration, unless a policy would be gone that should be there.

        Raises:
            ConfigurationError: A deleted model took a policy of a table along that is
                still there.
        """
        left = [] if kind else [gone for gone in self._gone if self._is_there(gone[1])]
        if not left:
            super().__exit__(kind, value, traceback)
            return
        error = _refusal(left[0][0], [one for _, one in left])
        super().__exit__(type(error), error, None)
        raise error

    def _is_there(self, one: Reader) -> bool:
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT pg_catalog.to_regclass(%s) IS NOT NULL", [one.table])
            (there,) = cursor.fetchone()
        return bool(there)

    def _refuse_readers(self, model: type[Model], column: str | None) -> None:
        if self.collect_sql:
            return
        found = self._readers(model, column, follow=False)
        if found:
            what = model._meta.db_table + (f".{column}" if column else "")
            raise _refusal(what, found)

    def _drop(self, one: Reader) -> None:
        name = self.quote_name(one.name)
        self.execute(f"DROP POLICY {name} ON {one.table}", params=None)

    @contextmanager
    def _lifted(
        self, model: type[Model], column: str | None, apps: Apps
    ) -> Iterator[None]:
        # One transaction, also in a migration that is not atomic: nobody sees the
        # table without them.
        with transaction.atomic(self.connection.alias):
            found = self._readers(model, column, follow=True) if column else []
            for one in found:
                self._drop(one)
            yield
            for one in found:
                for statement in self._restored(one, apps):
                    self.execute(statement, params=None)

    def _restored(self, one: Reader, apps: Apps) -> Iterator[Statement | str]:
        # As declared where it is declared: PostgreSQL's own spelling would keep casts
        # to the old type.
        for model in apps.get_models():
            for constraint in model._meta.constraints:
                if (
                    model._meta.db_table == one.db_table
                    and isinstance(constraint, TableConstraint)
                    and constraint.name == one.name
                ):
                    statement = constraint.create_sql(model, self)
                    if statement is not None:
                        yield statement
                    return
        yield one.create
        yield one.comment

    def _readers(
        self, model: type[Model], column: str | None, *, follow: bool
    ) -> list[Reader]:
        table = self.quote_name(model._meta.db_table)
        return readers(self.connection, table, column, follow=follow)


def _refusal(what: str, found: list[Reader]) -> ConfigurationError:
    names = ", ".join(f"{one.name!r} on {one.table}" for one in found)
    return ConfigurationError(
        f"{what} is read by these policies, which would be dropped along with it: "
        f"{names}. Change or remove them first: put RemoveConstraint before this "
        "operation, or into a migration that this one depends on."
    )


@functools.cache
def editor_class(stock: type[Any]) -> type[Any]:
    """Return a schema editor's class with the mixin before it."""
    if issubclass(stock, PolicyEditorMixin):
        return stock
    return type(stock.__name__, (PolicyEditorMixin, stock), {})
