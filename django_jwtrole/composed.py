"""From what several mixins open of one model to its policies and grants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django_jwtrole.conf import conf
from django_jwtrole.policy import Grant, Policy
from django_jwtrole.row_security import named
from jwtrole.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from django.db import models

__all__ = ["Opening", "composed"]


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
