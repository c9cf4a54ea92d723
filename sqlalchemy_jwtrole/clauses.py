"""From an SQLAlchemy expression to the text of a policy's USING or WITH CHECK."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ColumnElement,
    Table,
    and_,
    exc,
    false,
    literal_column,
    select,
    true,
)
from sqlalchemy.dialects.postgresql.base import PGCompiler, PGDialect
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import (
    BinaryExpression,
    BindParameter,
    BooleanClauseList,
    Grouping,
    TextClause,
)
from sqlalchemy.types import JSON

from jwtrole.errors import ConfigurationError
from jwtrole.policy import sealed_clause
from jwtrole.quoting import identifier, literal
from sqlalchemy_jwtrole.expressions import Claim

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import ColumnClause, Select

__all__ = ["clause"]


class _Compiler(PGCompiler):
    """Write expressions as a policy must have them: for good, whatever the settings."""

    def visit_column(self, column: ColumnClause[Any], *args: Any, **kw: Any) -> str:
        if column.is_literal and column.name == "*":
            # EXISTS (SELECT * ...): PostgreSQL would store every column there is.
            return "1"
        if isinstance(column.table, Table) and column.table.schema:
            # Without the schema, so that a temporary copy of the table fits as well.
            return f"{identifier(column.table.name)}.{identifier(column.name)}"
        return super().visit_column(column, *args, **kw)

    def render_literal_value(self, value: Any, type_: Any) -> str:
        if reason := _unwritable(value):
            raise exc.CompileError(reason)
        if isinstance(type_, JSON):
            return f"{_json(value)}::{type_.compile(self.dialect)}"
        # Not PostgreSQL's own: what it does to a backslash depends on the connection,
        # of which there is none. The E form means the same under every setting.
        text: str = SQLCompiler.render_literal_value(self, value, type_)
        if text.startswith("'") and "\\" in text:
            return "E" + text.replace("\\", "\\\\")
        return text


def _json(value: Any) -> str:
    try:
        return literal(json.dumps(value, allow_nan=False)).strip()
    except (TypeError, ValueError) as error:
        raise exc.CompileError(str(error)) from error


def _unwritable(value: Any) -> str | None:
    if isinstance(value, bytes | bytearray | memoryview):
        return "bytes are no literal"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is no literal"
    return None


class _Dialect(PGDialect):
    """Be PostgreSQL without a driver, whose placeholders would double each percent."""

    statement_compiler = _Compiler
    supports_statement_cache = False


_DIALECT = _Dialect(paramstyle="named")  # type: ignore[no-untyped-call]


def clause(expression: Any, table: Table, *, permissive: bool = True) -> str:
    """Return the text of a policy's clause.

    Unless a strict comparison with a claim must hold anyway, the clause of a
    permissive policy also asks for an identity put on in this transaction. A
    restrictive one opens nothing by itself.

    Args:
        expression: An SQL expression or a bool.
        table: The table the policy is on; subqueries correlate to it.
        permissive: Whether the policy is PERMISSIVE.

    Raises:
        ConfigurationError: It cannot stand in a policy.
    """
    if isinstance(expression, bool):
        expression = true() if expression else false()
    text = _text(expression, table)
    if not permissive or _is_strict(expression):
        return text
    return sealed_clause(text)


def _text(expression: Any, table: Table) -> str:
    # Inside a SELECT from the table, so that subqueries correlate: alone, EXISTS would
    # list the table in its own FROM and PostgreSQL see an infinite recursion.
    around: Select[Any] = select(literal_column("1")).select_from(table)
    try:
        condition = and_(expression)
        _refuse_parameters_without_value(condition)
        head = str(around.compile(dialect=_DIALECT)) + " \nWHERE "
        text = str(
            around.where(condition).compile(
                dialect=_DIALECT, compile_kwargs={"literal_binds": True}
            )
        )
    except (exc.ArgumentError, exc.CompileError) as error:
        msg = (
            f"A policy on {table.name!r} cannot be written as SQL: {error}. Use an SQL "
            "expression whose values are strings, numbers, dates, UUIDs and the like."
        )
        raise ConfigurationError(msg) from error
    if not text.startswith(head):
        msg = (
            f"A policy on {table.name!r} reads another table outside of any subquery: "
            "put it inside exists().where(...), and take the policy's own columns from "
            "the table that the lambda is given."
        )
        raise ConfigurationError(msg)
    return text.removeprefix(head)


def _refuse_parameters_without_value(condition: ColumnElement[Any]) -> None:
    for element in visitors.iterate(condition):
        if isinstance(element, BindParameter) and element.effective_value is None:
            msg = f"the parameter {element.key!r} has no value (for NULL write null())"
            raise exc.CompileError(msg)


def _is_strict(expression: Any) -> bool:
    """Say whether the whole clause is no row unless a column equals a claim."""
    return not _is_opaque(expression) and any(
        isinstance(part, BinaryExpression)
        and part.operator is operators.eq
        and _column_and_claim(part.left, part.right)
        for part in _conjuncts(expression)
    )


def _is_opaque(element: Any) -> bool:
    """Say whether SQL text stands in it, in which an OR may hide."""
    if isinstance(element, Claim):
        return False
    if isinstance(element, TextClause):
        return True
    # The * of EXISTS (SELECT *) is such a text, and hides nothing.
    if getattr(element, "is_literal", False) and element.name != "*":
        return True
    return any(map(_is_opaque, element.get_children()))


def _conjuncts(expression: Any) -> Iterator[Any]:
    if isinstance(expression, Grouping):
        yield from _conjuncts(expression.element)
    elif (
        isinstance(expression, BooleanClauseList)
        and expression.operator is operators.and_
    ):
        for part in expression.clauses:
            yield from _conjuncts(part)
    else:
        yield expression


def _column_and_claim(left: ColumnElement[Any], right: ColumnElement[Any]) -> bool:
    one, other = (right, left) if isinstance(left, Claim) else (left, right)
    return isinstance(other, Claim) and getattr(one, "table", None) is not None
