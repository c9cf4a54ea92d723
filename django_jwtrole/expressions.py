"""A claim of whoever is acting, as an expression of the ORM."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django.db.models import Expression, Field, TextField
from django.utils.deconstruct import deconstructible

from jwtrole.errors import ConfigurationError
from jwtrole.policy import claim_default, claim_expression

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models.sql.compiler import SQLCompiler

__all__ = ["Claim", "ClaimDefault"]

_LENGTH = re.compile(r"\(.*\)|\bvarchar\b|\bchar\b")


def _cast(field: Field[Any, Any], connection: BaseDatabaseWrapper) -> str:
    found = field.db_type(connection)
    if found is None:
        msg = f"Claim: {type(field).__name__} has no column type: give another field."
        raise ConfigurationError(msg)
    # A cast with a length cuts and rounds, so that two claims could become one.
    return _LENGTH.sub(lambda m: "" if "(" in m[0] else "text", found).strip()


@deconstructible(path="django_jwtrole.Claim")
class Claim(Expression):
    """Be a claim of the token, read and cast once a statement.

    NULL where the token lacks it; an error where nobody is acting at all.

    Args:
        name: The claim's name.
        output_field: What it is cast to; text where left out.
    """

    # Policies and queries alike; a NULL claim is a value as good as any.
    contains_aggregate = False

    def __init__(self, name: str, output_field: Field[Any, Any] | None = None) -> None:
        if not isinstance(name, str) or not name or "\0" in name:
            msg = f"Claim: {name!r} is no claim's name; give a non-empty string."
            raise ConfigurationError(msg)
        super().__init__(output_field=output_field or TextField())
        self.name = name

    def as_sql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper
    ) -> tuple[str, tuple[str | int, ...]]:
        """Return the expression; the name is a literal and no parameter."""
        text = claim_expression(self.name, _cast(self.output_field, connection))
        return text.replace("%", "%%"), ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


@deconstructible(path="django_jwtrole.expressions.ClaimDefault")
class ClaimDefault(Claim):
    """Be the same for ``db_default=``, which may hold no sub-select.

    Args:
        name: The claim's name.
        output_field: What it is cast to; text where left out.
    """

    # Django asks whether the expression may stand in DEFAULT.
    allowed_default = True

    def as_sql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper
    ) -> tuple[str, tuple[str | int, ...]]:
        """Return the expression; the name is a literal and no parameter."""
        text = claim_default(self.name, _cast(self.output_field, connection))
        # Django 5.2 adds the parameters of several actions up, as lists.
        return text.replace("%", "%%"), []  # type: ignore[return-value]
