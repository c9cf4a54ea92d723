"""Compare claims as column defaults by their text, never by evaluating them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from alembic.util import PriorityDispatchResult

from sqlalchemy_jwtrole.expressions import ClaimDefault

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext
    from alembic.operations.ops import AlterColumnOp
    from sqlalchemy import Column

__all__ = ["compare_default"]


def compare_default(
    context: AutogenContext,
    operation: AlterColumnOp,
    _schema: str | None,
    _table: str,
    _column: str,
    found: Column[Any],
    declared: Column[Any],
) -> PriorityDispatchResult:
    """Stand in for Alembic's comparison, which asks the server whether both are equal.

    Nobody is acting then, and :func:`jwtrole.claim` raises.
    """
    wanted = getattr(declared.server_default, "arg", None)
    if not isinstance(wanted, ClaimDefault):
        return PriorityDispatchResult.CONTINUE
    has: Any = getattr(found.server_default, "arg", None)
    if has is None or _bare(has.text) != _bare(wanted.compile(dialect=context.dialect)):
        operation.modify_server_default = declared.server_default
    return PriorityDispatchResult.STOP


def _bare(sql: Any) -> str:
    # PostgreSQL adds parentheses and the type of the claim's name.
    return re.sub(r"[()]|::text", "", str(sql))
