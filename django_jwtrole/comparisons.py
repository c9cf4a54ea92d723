"""Find a claim that is compared with a field of another type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import FieldError
from django.db.models import ExpressionList, JSONField
from django.db.models.lookups import (
    Exact,
    GreaterThan,
    GreaterThanOrEqual,
    In,
    LessThan,
    LessThanOrEqual,
    Range,
)

from django_jwtrole.expressions import Claim, claim_type
from jwtrole.comparing import comparable
from jwtrole.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from django.db.backends.base.base import BaseDatabaseWrapper

__all__ = ["refuse_other_types"]

_LOOKUPS = (
    Exact, GreaterThan, GreaterThanOrEqual, In, LessThan, LessThanOrEqual, Range,
)  # fmt: skip


def refuse_other_types(
    nodes: Iterable[Any], connection: BaseDatabaseWrapper, where: str
) -> None:
    """Check that PostgreSQL can compare what is compared with a claim.

    Args:
        nodes: All that stands in a resolved expression.
        connection: A PostgreSQL, which is not connected to.
        where: Which policy, for the message.

    Raises:
        ConfigurationError: It has no such operator, or would cast without a word.
    """
    for node in nodes:
        if isinstance(node, _LOOKUPS):
            for claim, other in _pairs(node):
                _compare(claim, other, connection, where)


def _pairs(lookup: Any) -> Iterator[tuple[Claim, Any]]:
    rhs = lookup.rhs
    # A list with an expression in it, of IN and BETWEEN.
    several = isinstance(rhs, ExpressionList)
    for one in rhs.get_source_expressions() if several else [rhs]:
        if isinstance(one, Claim):
            yield one, lookup.lhs
        elif isinstance(lookup.lhs, Claim):
            yield lookup.lhs, one


def _compare(
    claim: Claim, other: Any, connection: BaseDatabaseWrapper, where: str
) -> None:
    field = _field(other)
    found = field and field.db_type(connection)
    wanted = claim_type(claim.output_field, connection)
    if not found or comparable(found, wanted):
        return
    name = getattr(getattr(other, "target", None), "name", type(other).__name__)
    field = getattr(field, "target_field", field)
    advice = f"Claim({claim.name!r}, models.{type(field).__name__}())"
    if isinstance(field, JSONField):
        advice = f"Q(Exact(KT('{name}__key'), Claim({claim.name!r})))"
    msg = (
        f"{where}: it compares {name} ({found}) with the claim {claim.name!r}, which "
        f"is read as {wanted}: write {advice}."
    )
    raise ConfigurationError(msg)


def _field(other: Any) -> Any:
    try:
        return getattr(other, "output_field", None)
    except FieldError:
        # A mixture, whose type PostgreSQL alone can tell.
        return None
