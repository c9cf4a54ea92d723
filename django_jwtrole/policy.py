"""Policies, row security and grants as constraints: stock makemigrations writes them.

All three are created after the table, in the transaction of the migration, and are
dropped by name: one that is gone is an error. Other databases ignore them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

from django.core.exceptions import FieldDoesNotExist

from django_jwtrole import clauses
from django_jwtrole.constraint import TableConstraint
from django_jwtrole.related import outer_references
from jwtrole import policy, roles
from jwtrole.errors import ConfigurationError
from jwtrole.sequences import SequenceGrant

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models import Model, Q
    from django.db.models.sql.where import WhereNode

    from django_jwtrole.constraint import Render

__all__ = ["Grant", "Policy", "RowSecurity"]

_COLUMNS = re.compile(r"\(([^()]*)\)")


class RowSecurity(TableConstraint):
    """Enable row security on a table and force it on the owner too.

    Args:
        name: Unique in the project, as each constraint's.
    """

    _path = "django_jwtrole.policy.RowSecurity"

    def __init__(self, *, name: str, fields: tuple[()] = ()) -> None:
        super().__init__(name=name)

    def _create(self, model: type[Model], connection: BaseDatabaseWrapper) -> Render:
        return policy.enable_row_security

    def _remove(self, model: type[Model], connection: BaseDatabaseWrapper) -> Render:
        return policy.disable_row_security


class Policy(TableConstraint):
    """Let some roles see or write some rows of a model's table.

    Args:
        name: Its name; unique in the project, at most 63 bytes.
        using: Which rows may be seen or touched.
        check: What a written row must meet; left out, ``using`` counts.
        command: ``"ALL"``, ``"SELECT"``, ``"INSERT"``, ``"UPDATE"`` or ``"DELETE"``.
        to: The roles it is for; ``"PUBLIC"`` must be spelled out.
        permissive: ``False`` makes it RESTRICTIVE: it takes away instead of giving.
        template: Version of the text it becomes; migrations write it.

    Raises:
        ConfigurationError: No role, no expression, or one the command has no use for.
    """

    _path = "django_jwtrole.Policy"

    def __init__(  # noqa: PLR0913  a policy has this many parts
        self,
        *,
        name: str,
        using: Q | None = None,
        check: Q | None = None,
        command: str = "ALL",
        to: Sequence[str] = (),
        permissive: bool = True,
        template: int = policy.TEMPLATE,
        fields: tuple[()] = (),
    ) -> None:
        super().__init__(name=name)
        # The name `check` is taken by Django's hook.
        self.using: Q | None = using
        self.with_check: Q | None = check
        self.command: str = command
        self.permissive: bool = permissive
        self.template: int = template
        self.to: tuple[str, ...] = _several(to)
        self._compiled("", *self._given())

    def _given(self) -> tuple[str | None, str | None]:
        # What stands for the expressions where they do not matter.
        clauses = (self.using, self.with_check)
        using, check = (None if clause is None else "true" for clause in clauses)
        return using, check

    def _compiled(
        self, table: str, using: str | None, check: str | None
    ) -> policy.Policy:
        return policy.Policy(
            name=self.name,
            table=table,
            command=self.command,
            to=self.to,
            using=using,
            check=check,
            permissive=self.permissive,
        )

    def _declared(self) -> dict[str, Any]:
        found = {"using": self.using, "check": self.with_check}
        return {
            **{key: value for key, value in found.items() if value is not None},
            "command": self.command,
            "to": list(self.to),
            "permissive": self.permissive,
            "template": self.template,
        }

    def _references(self, model: type[Model]) -> set[tuple[str, ...]]:
        own = {
            tuple(reference)
            for clause in self.expressions
            for reference in model._get_expr_references(clause)  # type: ignore[attr-defined]
        }
        return own | {
            (name,) for clause in self.expressions for name in outer_references(clause)
        }

    def where(self, model: type[Model]) -> str:
        """Return which policy it is, for messages."""
        return f"Policy {self.name!r} on {model._meta.label}"

    @property
    def expressions(self) -> tuple[Q, ...]:
        """Return the expressions that are given."""
        both = (self.using, self.with_check)
        return tuple(given for given in both if given is not None)

    def resolved(self, model: type[Model]) -> tuple[WhereNode | None, ...]:
        """Return ``using`` and ``check`` with their names looked up in the model.

        Raises:
            ConfigurationError: One of them cannot stand in a policy.
        """
        where = self.where(model)
        using, check = (
            None if given is None else clauses.resolve(given, model, where)
            for given in (self.using, self.with_check)
        )
        own = model._meta.db_table
        if using and self.command in {"ALL", "SELECT"} and own in clauses.tables(using):
            msg = (
                f"{where} reads its own table to tell which rows of it may be read, "
                "which PostgreSQL refuses as an infinite recursion: keep what it looks "
                "up in a table of its own, or make it command='INSERT', 'UPDATE' or "
                "'DELETE'."
            )
            raise ConfigurationError(msg)
        return using, check

    def compiled(
        self, model: type[Model], connection: BaseDatabaseWrapper
    ) -> policy.Policy:
        """Return it on a model's table, its expressions as SQL text.

        Raises:
            ConfigurationError: An expression cannot stand in a policy.
        """
        return self._on(model._meta.db_table, model, connection)

    def _on(
        self, table: str, model: type[Model], connection: BaseDatabaseWrapper
    ) -> policy.Policy:
        return self._compiled(table, *self._texts(model, connection))

    def _create(self, model: type[Model], connection: BaseDatabaseWrapper) -> Render:
        # Not before the statement runs, at the end of the migration that creates the
        # table: what the policy reads may be created after it.
        return lambda table: self._on(table, model, connection).create()

    def _texts(
        self, model: type[Model], connection: BaseDatabaseWrapper
    ) -> Iterator[str | None]:
        where = self.where(model)
        dialect = clauses.dialect_of(connection)
        dialect.require_mode(where, permissive=self.permissive)
        for found in self.resolved(model):
            # An empty condition is false to Python.
            yield (
                None
                if found is None
                else clauses.clause(
                    found, model, connection, where=where, permissive=self.permissive
                )
            )

    def _remove(self, model: type[Model], connection: BaseDatabaseWrapper) -> Render:
        return lambda table: self._compiled(table, *self._given()).drop()


def _several(given: Sequence[str]) -> tuple[str, ...]:
    # A lone string is left as it is, to be refused where lists are checked.
    return cast("tuple[str, ...]", given) if isinstance(given, str) else tuple(given)


class Grant(TableConstraint):
    """Give a role privileges on a model's table.

    Args:
        name: Unique in the project.
        to: The role; ``"PUBLIC"`` must be spelled out.
        on: Privileges such as ``"SELECT"`` or ``"UPDATE(body, title)"``, the names in
            brackets being those of fields.

    Raises:
        ConfigurationError: A privilege that is unknown or works past row security.
    """

    _path = "django_jwtrole.Grant"

    def __init__(
        self, *, name: str, to: str, on: Sequence[str], fields: tuple[()] = ()
    ) -> None:
        super().__init__(name=name)
        self.to: str = to
        self.on: tuple[str, ...] = roles.Grant(table="", role=to, on=_several(on)).on

    def _declared(self) -> dict[str, Any]:
        return {"to": self.to, "on": list(self.on)}

    def updatable(self) -> frozenset[str] | None:
        """Return the names of the fields that may be updated, ``None`` for all."""
        found: set[str] = set()
        for privilege in self.on:
            if privilege == "UPDATE":
                return None
            if privilege.startswith("UPDATE("):
                found.update(_fields(privilege))
        return frozenset(found)

    def _references(self, model: type[Model]) -> set[tuple[str, ...]]:
        return {(name,) for privilege in self.on for name in _fields(privilege)}

    def compiled(self, model: type[Model]) -> roles.Grant:
        """Return it on a model's table, with the names of columns.

        Raises:
            ConfigurationError: The model has no such field.
        """
        return self._grant(model, model._meta.db_table)

    def sequence(self, model: type[Model]) -> SequenceGrant | None:
        """Return the use of the sequence that an INSERT draws from, if there is one."""
        field = model._meta.auto_field
        inserts = any(privilege.startswith("INSERT") for privilege in self.on)
        if not inserts or field is None:
            return None
        return SequenceGrant(
            table=model._meta.db_table, column=str(field.column), role=self.to
        )

    def _grant(self, model: type[Model], table: str) -> roles.Grant:
        def columns(match: re.Match[str]) -> str:
            return f"({', '.join(self._column(model, n) for n in _fields(match[0]))})"

        on = tuple(_COLUMNS.sub(columns, privilege) for privilege in self.on)
        return roles.Grant(table=table, role=self.to, on=on)

    def _column(self, model: type[Model], name: str) -> str:
        try:
            return str(model._meta.get_field(name).column)  # type: ignore[union-attr]
        except FieldDoesNotExist:
            msg = f"Grant {self.name!r}: {model._meta.label} has no field {name!r}."
            raise ConfigurationError(msg) from None

    def _create(self, model: type[Model], connection: BaseDatabaseWrapper) -> Render:
        return lambda table: self._grant(model, table).grant()

    def _remove(self, model: type[Model], connection: BaseDatabaseWrapper) -> Render:
        # What another grant gives the same role goes with it, and is given again.
        others = [
            other
            for other in model._meta.constraints
            if isinstance(other, Grant) and other.to == self.to and other != self
        ]
        return lambda table: (
            *self._grant(model, table).revoke(),
            *(sql for other in others for sql in other._grant(model, table).grant()),
        )


def _fields(privilege: str) -> list[str]:
    match = _COLUMNS.search(privilege)
    return [] if match is None else [name.strip() for name in match[1].split(",")]
