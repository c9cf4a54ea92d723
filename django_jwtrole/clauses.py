"""From an expression of the ORM to the text of a policy's USING or WITH CHECK."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import EmptyResultSet, FieldError, FullResultSet
from django.db.models.expressions import Col, RawSQL, ResolvedOuterRef
from django.db.models.lookups import Exact
from django.db.models.sql import AND
from django.db.models.sql.query import Query
from django.db.models.sql.where import WhereNode

from django_jwtrole.expressions import Claim, RawPredicate
from django_jwtrole.frozen import unfrozen
from jwtrole import policy
from jwtrole.dialect import POSTGRESQL, Dialect
from jwtrole.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models import Model, Q

__all__ = ["clause", "dialect_of", "nodes", "resolve", "tables"]

_NO_JOINS = (
    "A policy compares the table's own columns and joins no other table; for another "
    "table's rows write Related('app.Model', Q(field=OuterRef('field')))."
)


def dialect_of(connection: BaseDatabaseWrapper) -> Dialect:
    """Return the habits of the engine behind an alias."""
    found: Dialect = getattr(connection, "policy_dialect", POSTGRESQL)
    return found


def resolve(expression: Q, model: type[Model], where: str) -> WhereNode:
    """Return an expression with its names looked up in a model.

    Args:
        expression: A ``Q`` or another condition.
        model: The model that the policy is on, of now or of a migration.
        where: Which policy, for the message.

    Raises:
        ConfigurationError: It names what is not there, joins, or cannot be frozen.
    """
    if reason := unfrozen(expression):
        msg = f"{where}: {reason}."
        raise ConfigurationError(msg)
    # Columns keep the table's name, or OuterRef() would bind to the inner table.
    query = Query(model, alias_cols=True)
    try:
        found = query.build_where(expression)
    except FieldError as error:
        msg = f"{where}: {error}. {_NO_JOINS}"
        raise ConfigurationError(msg) from error
    except (TypeError, ValueError) as error:
        msg = f"{where}: {error}"
        raise ConfigurationError(msg) from error
    if sum(1 for count in query.alias_refcount.values() if count) > 1:
        msg = f"{where}: it reads a column of another table. {_NO_JOINS}"
        raise ConfigurationError(msg)
    for node in nodes(found):
        _refuse_loose(node, where)
    return found


def clause(
    found: WhereNode,
    model: type[Model],
    connection: BaseDatabaseWrapper,
    *,
    where: str,
    permissive: bool,
) -> str:
    """Return the text of a policy's clause.

    Unless a strict comparison with a claim must hold anyway, the clause of a
    permissive policy also asks for an identity put on in this transaction.

    Args:
        found: The expression, resolved.
        model: The model that the policy is on, of now or of a migration.
        connection: Where it will stand.
        where: Which policy, for messages.
        permissive: Whether the policy is PERMISSIVE.

    Raises:
        ConfigurationError: It cannot stand in a policy.
    """
    # A query of its own, for it is never sent.
    compiler = Query(model, alias_cols=True).get_compiler(connection=connection)
    parameters: Any = ()
    try:
        text, parameters = found.as_sql(compiler, connection)
    except FullResultSet:
        text = "true"
    except EmptyResultSet:
        text = "false"
    except ValueError as error:
        msg = f"{where}: {error}"
        raise ConfigurationError(msg) from error
    # Only PostgreSQL's operations have it; it merges as psycopg itself does.
    operations: Any = connection.ops
    text = str(operations.compose_sql(text, parameters))
    try:
        return policy.clause(
            text,
            permissive=permissive,
            strict=_compares_claim(found),
            dialect=dialect_of(connection),
        )
    except ConfigurationError as error:
        msg = f"{where}: {error}"
        raise ConfigurationError(msg) from error


def nodes(node: Any) -> Iterator[Any]:
    """Yield a resolved expression and all that stands in it, sub-selects included."""
    yield node
    if isinstance(node, WhereNode):
        inner: Any = node.children
    elif isinstance(node, Query):
        inner = [node.where]
    elif hasattr(node, "get_source_expressions"):
        inner = node.get_source_expressions()
    else:
        inner = []
    for one in inner:
        yield from nodes(one)


def tables(found: WhereNode) -> set[str]:
    """Return the tables that the sub-selects of a resolved expression read."""
    return {
        table.table_name
        for node in nodes(found)
        if isinstance(node, Query)
        for table in node.alias_map.values()
    }


def _compares_claim(where: WhereNode) -> bool:
    """Tell whether only a row that equals a claim can pass."""
    if where.connector != AND or where.negated:
        return False
    # In SQL text an OR may hide.
    if any(isinstance(node, RawPredicate | RawSQL) for node in nodes(where)):
        return False
    return any(
        isinstance(child, Exact) and isinstance(child.rhs, Claim)
        for child in where.children
    )


def _refuse_loose(node: Any, where: str) -> None:
    """Refuse a reference that is none, or that could never be false."""
    if isinstance(node, ResolvedOuterRef):
        reference = vars(node)["name"]
        msg = (
            f"{where}: OuterRef({reference!r}) stands outside of Related(), or deeper "
            f"than it is nested: for the policy's own row write F({reference!r})."
        )
        raise ConfigurationError(msg)
    if (
        isinstance(node, Exact)
        and isinstance(node.lhs, Col)
        and isinstance(node.rhs, Col)
        and (node.lhs.alias, node.lhs.target) == (node.rhs.alias, node.rhs.target)
    ):
        name = node.lhs.target.name
        msg = (
            f"{where}: it compares the field {name!r} with itself, which is always "
            f"true: for the row that the policy is about write OuterRef({name!r})."
        )
        raise ConfigurationError(msg)
