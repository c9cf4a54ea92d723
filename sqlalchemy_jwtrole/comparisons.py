"""Refuse comparisons that PostgreSQL has not, or that could never be false."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Enum, exc
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.elements import (
    BinaryExpression,
    ClauseList,
    CollectionAggregate,
    ExpressionClauseList,
    Grouping,
)
from sqlalchemy.types import ARRAY, JSON, NullType

from jwtrole.comparing import comparable
from jwtrole.errors import ConfigurationError
from sqlalchemy_jwtrole.expressions import Claim
from sqlalchemy_jwtrole.literals import sql_type

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import ColumnElement
    from sqlalchemy.types import TypeEngine

    from jwtrole.dialect import Dialect

__all__ = ["refuse_comparisons"]

_OPERATORS = {
    operators.eq, operators.ne, operators.lt, operators.le, operators.gt, operators.ge,
    operators.is_distinct_from, operators.is_not_distinct_from,
    operators.in_op, operators.not_in_op,
    operators.between_op, operators.not_between_op,
}  # fmt: skip


def refuse_comparisons(condition: ColumnElement[Any], dialect: Dialect) -> None:
    """Check that PostgreSQL can compare what is compared, above all with a claim.

    Args:
        condition: An SQL expression.
        dialect: The habits of the engine that it is for.

    Raises:
        ConfigurationError: It has no such operator, or would cast without a word.
    """
    for element in visitors.iterate(condition):
        if isinstance(element, BinaryExpression) and element.operator in _OPERATORS:
            _refuse_itself(element)
            for claim, other in _pairs(element):
                _compare(claim, other, dialect)


def _refuse_itself(element: BinaryExpression[Any]) -> None:
    left, right = element.left, element.right
    if isinstance(left, Column) and hash(left) == hash(right):
        msg = (
            f"it compares {left} with itself, which is always true: in a subquery of "
            "the policy's own table give that a name of its own with .alias('...')."
        )
        raise ConfigurationError(msg)


def _pairs(element: BinaryExpression[Any]) -> Iterator[tuple[Claim[Any], Any]]:
    lefts, rights = _parts(element.left), _parts(element.right)
    for one in lefts:
        for other in rights:
            if isinstance(other, Claim):
                yield other, one
            elif isinstance(one, Claim):
                yield one, other


def _parts(side: Any) -> list[Any]:
    while isinstance(side, Grouping):
        side = side.element
    several = isinstance(side, ClauseList | ExpressionClauseList)
    return list(side.clauses) if several else [side]


def _compare(claim: Claim[Any], other: Any, dialect: Dialect) -> None:
    type_: TypeEngine[Any] = other.type
    if isinstance(other, CollectionAggregate):
        # ANY(array) compares with each element.
        array = getattr(other.element, "type", None)
        type_ = array.item_type if isinstance(array, ARRAY) else NullType()
    if isinstance(type_, NullType):
        return
    try:
        one, two = sql_type(claim.type, dialect), sql_type(type_, dialect)
    except exc.CompileError:
        # A type that PostgreSQL does not have is refused where it is written.
        return
    if _is_enum(claim.type) == _is_enum(type_) and comparable(one, two):
        return
    advice = f"claim({claim.claim_name!r}, {type(type_).__name__})"
    if isinstance(type_, JSON):
        advice = f"column['key'].astext == claim({claim.claim_name!r})"
    msg = (
        f"it compares {other} ({two.lower()}) with the claim {claim.claim_name!r}, "
        f"which is read as {one.lower()}: write {advice}."
    )
    raise ConfigurationError(msg)


def _is_enum(type_: TypeEngine[Any]) -> bool:
    return isinstance(type_, Enum) and type_.native_enum
