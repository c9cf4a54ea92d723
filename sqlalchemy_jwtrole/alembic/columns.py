"""Columns whose default is a claim: added empty, completed by a step of their own.

PostgreSQL reads the default of a new column at once, even where there is no row, and
nobody is acting in a migration. What drops such a column adds it on the way back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic.operations import ops

from sqlalchemy_jwtrole.expressions import ClaimDefault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Column

__all__ = ["without_claims"]


def without_claims(upgrade: ops.UpgradeOps) -> None:
    """Split what adds or drops such a column, rows being filled in between."""
    for operation in upgrade.ops:
        if isinstance(operation, ops.ModifyTableOps):
            operation.ops[:] = [
                part for one in operation.ops for part in _split(operation, one)
            ]


def _split(
    table: ops.ModifyTableOps, operation: ops.MigrateOperation
) -> Iterator[ops.MigrateOperation]:
    name, schema = table.table_name, table.schema
    if isinstance(operation, ops.AddColumnOp) and _has_claim(operation.column):
        column = operation.column
        yield ops.AddColumnOp(name, _empty(column), schema=schema)
        yield _altered(table, column).reverse()
    elif isinstance(operation, ops.DropColumnOp) and _has_claim(operation.to_column()):
        column = operation.to_column()
        yield _altered(table, column)
        yield ops.DropColumnOp.from_column_and_tablename(schema, name, _empty(column))
    else:
        yield operation


def _has_claim(column: Column[Any]) -> bool:
    default = getattr(column.server_default, "arg", None)
    # As declared, or as PostgreSQL has it.
    return isinstance(default, ClaimDefault) or "jwtrole.claim(" in str(default)


def _empty(column: Column[Any]) -> Column[Any]:
    found: Column[Any] = column._copy()  # noqa: SLF001  as Alembic copies columns
    found.server_default, found.nullable = None, True
    return found


def _altered(table: ops.ModifyTableOps, column: Column[Any]) -> ops.AlterColumnOp:
    """Return what takes default and NOT NULL away."""
    return ops.AlterColumnOp(
        table.table_name,
        column.name,
        schema=table.schema,
        existing_type=column.type,
        existing_nullable=column.nullable,
        existing_server_default=column.server_default,
        modify_server_default=None,
        modify_nullable=None if column.nullable else True,
    )
