"""From an SQLAlchemy expression to the text of a policy's USING or WITH CHECK."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ClauseElement,
    ColumnElement,
    and_,
    exc,
    false,
    literal_column,
    select,
    true,
)
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.elements import (
    BinaryExpression,
    BindParameter,
    BooleanClauseList,
    Grouping,
    TextClause,
)

from jwtrole import policy
from jwtrole.dialect import POSTGRESQL
from jwtrole.errors import ConfigurationError
from jwtrole.quoting import unwritable
from sqlalchemy_jwtrole.comparisons import refuse_comparisons
from sqlalchemy_jwtrole.expressions import Claim, RawPredicate
from sqlalchemy_jwtrole.literals import compile_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Select, Table

    from jwtrole.dialect import Dialect
    from sqlalchemy_jwtrole.literals import Compiled

__all__ = ["Clause", "clause", "compiled"]


@dataclass(frozen=True)
class Clause:
    """Be a clause as SQL text, and what it reads beside its own row.

    Args:
        text: The text.
        reads: The tables of its subqueries.
    """

    text: str
    reads: frozenset[Table]


def clause(expression: Any, table: Table, *, permissive: bool = True) -> str:
    """Return the text of a policy's clause, as :func:`compiled` has it.

    Args:
        expression: An SQL expression or a bool.
        table: The table the policy is on; subqueries correlate to it.
        permissive: Whether the policy is PERMISSIVE.

    Raises:
        ConfigurationError: It cannot stand in a policy.
    """
    return compiled(expression, table, permissive=permissive).text


def compiled(
    expression: Any,
    table: Table,
    *,
    name: str = "?",
    permissive: bool = True,
    dialect: Dialect = POSTGRESQL,
) -> Clause:
    """Return a policy's clause.

    Unless a strict comparison with a claim must hold anyway, the clause of a
    permissive policy also asks for an identity put on in this transaction. A
    restrictive one opens nothing by itself.

    Args:
        expression: An SQL expression, a bool, or a callable that takes the table's
            columns and returns one.
        table: The table the policy is on; subqueries correlate to it.
        name: The policy's name, for messages.
        permissive: Whether the policy is PERMISSIVE.
        dialect: The habits of the engine that it is for.

    Raises:
        ConfigurationError: It cannot stand in a policy.
    """
    where = f"Policy {name!r} on {table.name!r}"
    expression = _called(expression, table, where)
    if isinstance(expression, bool):
        expression = true() if expression else false()
    try:
        found = _compiled(expression, table, dialect)
        text = policy.clause(
            found.text,
            permissive=permissive,
            strict=_is_strict(expression),
            dialect=dialect,
        )
    except (exc.ArgumentError, exc.CompileError, exc.InvalidRequestError) as error:
        msg = (
            f"{where} cannot be written as SQL: {error}. Use an SQL expression whose "
            "values are strings, numbers, dates, UUIDs and the like."
        )
        raise ConfigurationError(msg) from error
    except ConfigurationError as error:
        msg = f"{where}: {error}"
        raise ConfigurationError(msg) from error
    return Clause(text, found.reads)


def _called(expression: Any, table: Table, where: str) -> Any:
    # Some SQL elements can be called too; mapped attributes stand for one.
    is_sql = isinstance(expression, ClauseElement)
    is_sql = is_sql or hasattr(expression, "__clause_element__")
    if not callable(expression) or is_sql:
        return expression
    try:
        return expression(table.c)
    except (AttributeError, KeyError) as error:
        msg = (
            f"{where}: {error}. The table has the columns {', '.join(table.c.keys())}."
        )
        raise ConfigurationError(msg) from error


def _compiled(expression: Any, table: Table, dialect: Dialect) -> Clause:
    # Inside a SELECT from the table, so that subqueries correlate: alone, EXISTS would
    # list the table in its own FROM and PostgreSQL see an infinite recursion.
    around: Select[Any] = select(literal_column("1")).select_from(table)
    condition = and_(expression)
    _refuse_parameters(condition)
    refuse_comparisons(condition, dialect)
    head = compile_for(around, dialect).text + " \nWHERE "
    found = compile_for(around.where(condition), dialect)
    if not found.text.startswith(head):
        msg = (
            "it reads another table outside of any subquery: put it inside "
            "exists().where(...), and take the policy's own columns from the table "
            "that the lambda is given."
        )
        raise ConfigurationError(msg)
    _refuse_second_name(found, table)
    # The first FROM is the one around it all.
    return Clause(found.text.removeprefix(head), frozenset(found.tables[1:]))


def _refuse_second_name(found: Compiled, table: Table) -> None:
    # Inside such a subquery the row's columns would mean the other table's.
    if table.name in found.names[1:]:
        msg = (
            f"a subquery reads something that is called {table.name!r} like the "
            "policy's own table, so that no column could tell them apart: give it a "
            "name of its own with .alias('...')."
        )
        raise ConfigurationError(msg)


def _refuse_parameters(condition: ColumnElement[Any]) -> None:
    for element in visitors.iterate(condition):
        if not isinstance(element, BindParameter):
            continue
        if reason := unwritable(element.callable):
            raise exc.CompileError(reason)
        if element.effective_value is None:
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
    if isinstance(element, TextClause | RawPredicate):
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
