"""Claims of the acting identity as SQL expressions and column defaults."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar, overload

from sqlalchemy import ColumnElement, Text, literal_column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import Function
from sqlalchemy.types import to_instance

from jwtrole import policy
from jwtrole.quoting import literal

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import Dialect
    from sqlalchemy.types import TypeEngine

__all__ = ["Claim", "ClaimDefault", "claim"]

T = TypeVar("T")


class Claim(Function[T]):
    """Be a claim of the acting identity, read once a statement."""

    inherit_cache: bool | None = True

    def __init__(self, name: str, type_: TypeEngine[T]) -> None:
        # The name is a clause and the type a function's: both are part of the key
        # that compiled statements are cached by.
        super().__init__(
            "claim",
            literal_column(literal(name).strip()),
            packagenames=("jwtrole",),
            type_=type_,
        )
        self.claim_name: str = name


@overload
def claim(name: str) -> Claim[str]: ...
@overload
def claim(name: str, type_: TypeEngine[T] | type[TypeEngine[T]]) -> Claim[T]: ...
def claim(name: str, type_: Any = Text) -> Claim[Any]:
    """Return a claim of the acting identity, for policies and queries.

    A claim that the token lacks is NULL; where nobody is acting PostgreSQL raises.

    Args:
        name: The claim's name at the top level of the token.
        type_: The SQL type to cast it to, as ``Uuid`` or ``Integer``; text by default.
    """
    return Claim(name, to_instance(type_))


class ClaimDefault(ColumnElement[Any]):
    """Be a claim as a column's server default; on other databases, NULL.

    Args:
        name: The claim's name.
        type_: The column's type.
    """

    inherit_cache: bool | None = False

    def __init__(self, name: str, type_: TypeEngine[Any]) -> None:
        self.claim_name: str = name
        self.type = type_


def _sql_type(type_: TypeEngine[Any], dialect: Dialect) -> str:
    found = type_.compile(dialect)
    # PostgreSQL has one name for what SQLAlchemy writes in capitals.
    return found.lower() if re.fullmatch(r"[A-Z ]+", found) else found


@compiles(Claim)
def _claim(element: Claim[Any], compiler: Any, **_: Any) -> str:
    return policy.claim_expression(
        element.claim_name, _sql_type(element.type, compiler.dialect)
    )


@compiles(ClaimDefault)
def _no_default(_element: ClaimDefault, _compiler: Any, **_: Any) -> str:
    return "NULL"


@compiles(ClaimDefault, "postgresql")
def _default(element: ClaimDefault, compiler: Any, **_: Any) -> str:
    return policy.claim_default(
        element.claim_name, _sql_type(element.type, compiler.dialect)
    )
