"""Claims of the acting identity as SQL expressions and column defaults."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar, overload

from sqlalchemy import Boolean, ColumnElement, Text, literal_column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import Function
from sqlalchemy.types import to_instance

from jwtrole import policy
from jwtrole.dialect import POSTGRESQL
from jwtrole.fragment import whole
from jwtrole.quoting import literal

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import Dialect
    from sqlalchemy.types import TypeEngine

__all__ = ["Claim", "ClaimDefault", "RawPredicate", "claim"]

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


class RawPredicate(ColumnElement[bool]):
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

    inherit_cache: bool | None = False

    def __init__(self, sql: str) -> None:
        self.sql: str = whole(sql)
        self.type: TypeEngine[bool] = Boolean()


#: What a length is part of, and the same without one; CHAR and BIT alone mean one.
_LENGTHS = (
    (re.compile(r"\bCHAR\(\d+\)"), "TEXT"),
    (re.compile(r"\bBIT\(\d+\)"), "BIT VARYING"),
    (re.compile(r"\([\d, ]+\)"), ""),
)


def _sql_type(type_: TypeEngine[Any], dialect: Dialect) -> str:
    found = type_.compile(dialect)
    # A cast with a length cuts and rounds, so that two claims could become one.
    head, quote, name = found.partition('"')
    for pattern, instead in _LENGTHS:
        head = pattern.sub(instead, head)
    found = head + quote + name
    # PostgreSQL has one name for what SQLAlchemy writes in capitals.
    return found.lower() if re.fullmatch(r"[A-Z ]+", found) else found


@compiles(Claim)
def _claim(element: Claim[Any], compiler: Any, **_: Any) -> str:
    # Only what compiles policies says for which engine.
    dialect = getattr(compiler.dialect, "policy_dialect", POSTGRESQL)
    found: str = dialect.claim(
        element.claim_name, _sql_type(element.type, compiler.dialect)
    )
    return found


@compiles(RawPredicate)
def _raw(element: RawPredicate, compiler: Any, **_: Any) -> str:
    # Some drivers take a lone percent sign for a placeholder.
    doubled = compiler.preparer._double_percents  # noqa: SLF001  nothing else tells
    return f"({element.sql.replace('%', '%%') if doubled else element.sql})"


@compiles(ClaimDefault)
def _no_default(_element: ClaimDefault, _compiler: Any, **_: Any) -> str:
    return "NULL"


@compiles(ClaimDefault, "postgresql")
def _default(element: ClaimDefault, compiler: Any, **_: Any) -> str:
    return policy.claim_default(
        element.claim_name, _sql_type(element.type, compiler.dialect)
    )
