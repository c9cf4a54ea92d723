"""From what several mixins open of one model to its policies and grants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.core.exceptions import FieldDoesNotExist
from django.db import models

from django_jwtrole.conf import conf
from django_jwtrole.expressions import Claim, ClaimDefault
from django_jwtrole.policy import Grant, Policy
from django_jwtrole.row_security import named
from jwtrole.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["Opening", "composed", "field_of", "is_claim"]


@dataclass(frozen=True)
class Opening:
    """Be what one mixin opens.

    Args:
        tail: The end of the policy's name.
        condition: Which rows.
        roles: To whom; ``None`` for all but the anonymous role.
        privileges: What the roles are granted.
        command: What the policy is for.
    """

    tail: str
    condition: models.Q
    roles: Sequence[str] | None
    privileges: Sequence[str]
    command: str = "ALL"


def composed(
    model: type[models.Model], bound: models.Q, openings: Iterable[Opening]
) -> Iterator[models.BaseConstraint]:
    """Yield a policy for each opening, and one grant for each role.

    The bound stands in each policy itself, and is no RESTRICTIVE policy beside them:
    that would be for the roles it names alone, would open all when it were lost, and
    is not to be had on every engine.

    Args:
        model: The model.
        bound: What every policy asks for beside its own condition.
        openings: What the mixins open.

    Raises:
        ConfigurationError: Roles that are no list.
    """
    granted: dict[str, list[str]] = {}
    for opening in openings:
        roles = _roles(model, opening)
        yield Policy(
            name=named(model, opening.tail),
            using=bound & opening.condition,
            command=opening.command,
            to=roles,
        )
        for role in roles:
            granted.setdefault(role, []).extend(opening.privileges)
    for role, privileges in granted.items():
        on = list(dict.fromkeys(privileges))
        yield Grant(name=named(model, role), to=role, on=on)


def _roles(model: type[models.Model], opening: Opening) -> list[str]:
    if isinstance(opening.roles, str):
        msg = (
            f"{model._meta.label}: {opening.tail}: {opening.roles!r} is no list of "
            f"roles: write [{opening.roles!r}]."
        )
        raise ConfigurationError(msg)
    if opening.roles is not None:
        return list(opening.roles)
    return [role for role in conf().roles if role != conf().anonymous]


def field_of(model: type[models.Model], name: str) -> models.Field[Any, Any]:
    """Return the field that a mixin's policy reads.

    Raises:
        ConfigurationError: It is gone, or is a relation.
    """
    try:
        field: Any = model._meta.get_field(name)
    except FieldDoesNotExist:
        msg = (
            f"{model._meta.label} has no field {name}, which its mixin's policy reads: "
            "keep it, and give another name of the column with db_column."
        )
        raise ConfigurationError(msg) from None
    if field.is_relation:
        msg = (
            f"{model._meta.label}: {name} is a relation, and a foreign key tells "
            f"whether a hidden row is there: declare {name} as claim_field(...) of the "
            "claim's type."
        )
        raise ConfigurationError(msg)
    return field  # type: ignore[no-any-return]


def is_claim(model: type[models.Model], name: str, claim: str, usual: str) -> models.Q:
    """Return that a column is a claim, and have its default read the same one.

    Args:
        model: The model.
        name: The field.
        claim: The claim that the model says.
        usual: The claim of the mixin's own field.

    Raises:
        ConfigurationError: The field is no use, or is filled from another claim.
    """
    field = field_of(model, name)
    kind: Any = type(field)
    if isinstance(field.db_default, ClaimDefault):
        if field.db_default.name not in {claim, usual}:
            msg = (
                f"{model._meta.label}: {name} is filled from the claim "
                f"{field.db_default.name!r} and its policy reads {claim!r}: set "
                f"{name.removesuffix('_id')}_claim = {field.db_default.name!r}."
            )
            raise ConfigurationError(msg)
        field.db_default = ClaimDefault(claim, kind())
    return models.Q(**{name: Claim(claim, kind())})
