"""What an operation is: written into revisions, run, and undone by its opposite."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from alembic.autogenerate import renderers
from alembic.operations import MigrateOperation, Operations

from jwtrole import policy, roles
from sqlalchemy_jwtrole import create
from sqlalchemy_jwtrole.alembic.wanted import WANTED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic.autogenerate.api import AutogenContext

    from jwtrole.grants import GrantOn
    from jwtrole.sequences import SequenceGrant

__all__ = ["OnObject", "OnPolicy", "OnRole", "OnTable", "Operation", "TableName"]

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


class TableName(NamedTuple):
    """Be a table, by name."""

    table: str
    schema: str | None = None

    def enable(self) -> Sequence[str]:
        """Return the statements that turn row security on."""
        return policy.enable_row_security(*self)

    def disable(self) -> Sequence[str]:
        """Return the statements that turn row security off."""
        return policy.disable_row_security(*self)


class Operation(MigrateOperation, ABC):
    """Do one thing to one object, which its opposite undoes."""

    #: Its name in revisions.
    verb: ClassVar[str]
    #: The object's method that returns the statements.
    statements: ClassVar[str]
    opposite: ClassVar[type[Operation]]

    def __init__(self, item: Any) -> None:
        self.item = item

    @abstractmethod
    def arguments(self) -> Arguments:
        """Return what a revision writes, positional and by keyword."""

    def needs(self) -> Sequence[str]:
        """Return the roles that must exist before."""
        return ()

    def logins(self) -> Sequence[str]:
        """Return what the application logs in as, as far as it knows."""
        return ()

    def reverse(self) -> Operation:
        """Return what undoes it."""
        return self.opposite(self.item)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what ``alembic check`` shows."""
        positional, keywords = self.arguments()
        return self.verb, *positional, keywords


def _keywords(item: Any, **other: Any) -> dict[str, Any]:
    """Return keyword arguments without those that say nothing."""
    every = {**other, "schema": item.schema}
    return {name: value for name, value in every.items() if value is not None}


class OnPolicy(Operation):
    """Do something with a policy."""

    item: policy.Policy

    def arguments(self) -> Arguments:
        """Return the whole definition, in a drop as well: for the way back."""
        item = self.item
        return (item.table,), _keywords(
            item, name=item.name, using=item.using, check=item.check,
            command=None if item.command == "ALL" else item.command,
            to=list(item.to), permissive=None if item.permissive else False,
        )  # fmt: skip

    def needs(self) -> Sequence[str]:
        """Return the roles it is for."""
        return self.item.to


class OnTable(Operation):
    """Do something with the row security of a table."""

    item: TableName

    def arguments(self) -> Arguments:
        """Return the table."""
        return (self.item.table,), _keywords(self.item)


class OnRole(Operation):
    """Do something with what a role may do."""

    item: roles.Grant | SequenceGrant

    def arguments(self) -> Arguments:
        """Return table, role, and what of the table."""
        item = self.item
        what = (
            {"on": list(item.on)}
            if isinstance(item, roles.Grant)
            else {"column": item.column}
        )
        return (item.table, item.role), _keywords(item, **what)

    def needs(self) -> Sequence[str]:
        """Return the role."""
        return (self.item.role,)


class OnObject(Operation):
    """Do something with what a role may do on what is no table."""

    item: GrantOn

    def arguments(self) -> Arguments:
        """Return kind, name and role, and which privileges."""
        item = self.item
        return (item.kind, item.name, item.to), item.written()

    def needs(self) -> Sequence[str]:
        """Return the role."""
        return (self.item.to,)


@Operations.implementation_for(Operation)
def _run(operations: Operations, operation: Operation) -> None:
    if not operations.get_context().as_sql:
        logins = {*WANTED.logins, *operation.logins()}
        create.require_roles(operations.get_bind(), operation.needs(), logins=logins)
    statements: Sequence[str] = getattr(operation.item, operation.statements)()
    for sql in statements:
        operations.execute(
            create.Statement(sql), execution_options={"no_parameters": True}
        )


@renderers.dispatch_for(Operation)
def _render(context: AutogenContext, operation: Operation) -> str:
    positional, keywords = operation.arguments()
    written = [repr(value) for value in positional]
    written += [f"{name}={value!r}" for name, value in keywords.items()]
    prefix = context.opts.get("alembic_module_prefix") or ""
    return f"{prefix}{operation.verb}({', '.join(written)})"
