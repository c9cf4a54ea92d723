"""A claim of whoever is acting, as an expression of the ORM."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django.db.models import BooleanField, Expression, Field, TextField
from django.utils.deconstruct import deconstructible

from jwtrole.dialect import POSTGRESQL
from jwtrole.errors import ConfigurationError
from jwtrole.fragment import whole

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models.sql.compiler import SQLCompiler

    from jwtrole.dialect import Dialect

__all__ = ["Claim", "ClaimDefault", "RawPredicate", "claim_type"]

_LENGTH = re.compile(r"\(.*\)|\bvarchar\b|\bchar\b")


def claim_type(field: Field[Any, Any], connection: BaseDatabaseWrapper) -> str:
    """Return the SQL type that a claim is cast to.

    Raises:
        ConfigurationError: The field is no column.
    """
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
        dialect: Dialect = getattr(connection, "policy_dialect", POSTGRESQL)
        text = dialect.claim(self.name, claim_type(self.output_field, connection))
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
        sql_type = claim_type(self.output_field, connection)
        text = POSTGRESQL.claim_default(self.name, sql_type)
        # Django 5.2 adds the parameters of several actions up, as lists.
        return text.replace("%", "%%"), []  # type: ignore[return-value]


@deconstructible(path="django_jwtrole.RawPredicate")
class RawPredicate(Expression):
    """Be a condition that is SQL text already, for what no expression can say.

    It is sent as it is written: percent signs and colons mean themselves, and names
    are found on the search path of whoever creates the policy. A comparison with a
    claim in it counts for nothing: the policy asks for an identity all the same.

    Args:
        sql: One boolean expression, its strings in ``'...'`` or, with a backslash, in
            ``E'...'``; without comments, semicolons and parameters.

    Raises:
        ConfigurationError: It could reach past its end.
    """

    conditional = True
    contains_aggregate = False

    def __init__(self, sql: str) -> None:
        super().__init__(output_field=BooleanField())
        self.sql: str = whole(sql)

    def as_sql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper
    ) -> tuple[str, tuple[str | int, ...]]:
        """Return the text in parentheses."""
        return f"({self.sql})".replace("%", "%%"), ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.sql!r})"
