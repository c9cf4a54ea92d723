"""What a policy's expression compares with, and whether a migration can keep it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import Model, QuerySet, Subquery, Value
from django.db.models.sql.query import Query
from django.utils.functional import LazyObject, Promise

from django_jwtrole.related import parts
from jwtrole.quoting import unwritable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["unfrozen"]

_RELATED = (
    "holds a queryset, which no migration can: write Related('app.Model', "
    "Q(field=OuterRef('field'))) instead of Exists(), or joins"
)


def unfrozen(expression: Any) -> str | None:
    """Return what in an expression cannot be written for good, and what to do.

    Args:
        expression: A ``Q`` or another condition, not resolved yet.
    """
    for value in _values(expression):
        if reason := _reason(value):
            return reason
    return None


def _values(node: Any) -> Iterator[Any]:
    """Yield the values that expressions compare with, however deep they stand."""
    inner = _inner(node)
    if inner is None:
        yield node
    else:
        for one in inner:
            yield from _values(one)


def _inner(node: Any) -> Iterable[Any] | None:
    """Return what stands in a node, ``None`` where it is a value itself."""
    if isinstance(node, Value):
        return [node.value]
    if isinstance(node, list | tuple | set | frozenset):
        return node
    if isinstance(node, dict):
        return [*node, *node.values()]
    is_value = isinstance(node, type | QuerySet | Query | Subquery)
    is_value = is_value or not hasattr(node, "resolve_expression")
    return None if is_value else parts(node)


def _reason(value: Any) -> str | None:
    if isinstance(value, QuerySet | Query | Subquery):
        return f"{type(value).__name__}() {_RELATED}"
    if isinstance(value, LazyObject | Promise):
        return (
            f"a {type(value).__name__} is worked out anew each time and cannot be "
            "frozen: give the plain value"
        )
    if isinstance(value, Model):
        return (
            f"a row of {value._meta.label} cannot be frozen: compare with its primary "
            "key"
        )
    return unwritable(value)
