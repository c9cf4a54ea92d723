"""Columns whose default is a claim: added empty, completed by a step of their own.

PostgreSQL reads the default of a new column at once, even where there is no row, and
nobody is acting in a migration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic.operations import ops

from sqlalchemy_jwtrole.expressions import ClaimDefault

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["add_without_claims"]


def add_without_claims(upgrade: ops.UpgradeOps) -> None:
    """Split each addition of such a column in two, rows being filled in between."""
    for operation in upgrade.ops:
        if isinstance(operation, ops.ModifyTableOps):
            operation.ops[:] = [
                part for one in operation.ops for part in _split(operation, one)
            ]


def _split(table: ops.ModifyTableOps, operation: Any) -> Iterator[Any]:
    default = getattr(getattr(operation, "column", None), "server_default", None)
    adds = isinstance(operation, ops.AddColumnOp)
    if not adds or not isinstance(getattr(default, "arg", None), ClaimDefault):
        yield operation
        return
    column = operation.column
    empty = column._copy()  # noqa: SLF001  Alembic copies columns the same way
    empty.server_default, empty.nullable = None, True
    yield ops.AddColumnOp(table.table_name, empty, schema=table.schema)
    yield ops.AlterColumnOp(
        table.table_name,
        column.name,
        schema=table.schema,
        existing_type=column.type,
        existing_nullable=True,
        existing_server_default=None,
        modify_server_default=default,
        modify_nullable=None if column.nullable else False,
    )
