"""The compiler of policies: each value a literal, whatever the settings.

https://www.postgresql.org/docs/current/sql-syntax-lexical.html
"""

from __future__ import annotations

import datetime as dt
import functools
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Table, exc
from sqlalchemy.dialects.postgresql import ARRAY, CIDR, INET, MACADDR, MACADDR8, Range
from sqlalchemy.dialects.postgresql.base import PGCompiler, PGDialect
from sqlalchemy.dialects.postgresql.ranges import (
    AbstractMultiRange,
    AbstractSingleRange,
)
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import _truncated_label
from sqlalchemy.types import JSON, DateTime, TypeDecorator

from jwtrole.errors import ConfigurationError
from jwtrole.quoting import identifier, literal, unwritable

if TYPE_CHECKING:
    from sqlalchemy import ClauseElement, ColumnClause
    from sqlalchemy.types import TypeEngine

    from jwtrole.dialect import Dialect

__all__ = ["Compiled", "compile_for", "sql_type"]

_TEXTS = (INET, CIDR, MACADDR, MACADDR8)


class Compiled(NamedTuple):
    """Be an element as SQL text.

    Args:
        text: The text.
        tables: The tables that are read, each as often as it stands in a FROM.
        names: The names that stand in a FROM.
    """

    text: str
    tables: list[Table]
    names: list[str]


class _Compiler(PGCompiler):
    """Write expressions as a policy must have them: for good, whatever the settings."""

    def __init__(self, *args: Any, **kw: Any) -> None:
        self.tables: list[Table] = []
        self.names: list[str] = []
        super().__init__(*args, **kw)

    def visit_table(self, table: Any, *args: Any, **kw: Any) -> str:
        if kw.get("asfrom"):
            self.tables.append(table)
            if kw.get("enclosing_alias") is None:
                self.names.append(str(table.name))
        text: str = super().visit_table(table, *args, **kw)  # type: ignore[no-untyped-call]
        return text

    def visit_alias(self, alias: Any, *args: Any, **kw: Any) -> str:
        if kw.get("asfrom"):
            # The very name that is rendered: of an alias without one it is made up.
            name = alias.name
            if isinstance(name, _truncated_label):
                name = self._truncated_identifier("alias", name)
            self.names.append(str(name))
        text: str = super().visit_alias(alias, *args, **kw)  # type: ignore[no-untyped-call]
        return text

    def visit_column(self, column: ColumnClause[Any], *args: Any, **kw: Any) -> str:
        if column.is_literal and column.name == "*":
            # EXISTS (SELECT * ...): PostgreSQL would store every column there is.
            return "1"
        if isinstance(column.table, Table) and column.table.schema:
            # Without the schema, so that a temporary copy of the table fits as well.
            return f"{identifier(column.table.name)}.{identifier(column.name)}"
        return super().visit_column(column, *args, **kw)

    def render_literal_value(self, value: Any, type_: Any) -> str:
        handed, impl = _undecorated(value, type_, self.dialect)
        if reason := unwritable(handed) or _ambiguous(handed, impl):
            raise exc.CompileError(reason)
        written = self._own(handed, impl)
        if written is not None:
            return f"{written}::{impl.compile(self.dialect)}"
        # Not PostgreSQL's own: what it does to a backslash depends on the connection,
        # of which there is none. The E form means the same under every setting.
        text: str = SQLCompiler.render_literal_value(self, value, type_)
        if text.startswith("'") and "\\" in text:
            return "E" + text.replace("\\", "\\\\")
        return text

    def _own(self, value: Any, type_: Any) -> str | None:
        """Return what SQLAlchemy would not write, or not for good."""
        if isinstance(type_, JSON):
            return _json(value)
        if isinstance(type_, _TEXTS):
            return _quoted(str(value))
        if isinstance(type_, ARRAY):
            return self._array(value, type_.item_type)
        if isinstance(type_, AbstractSingleRange):
            return _quoted(_range(value))
        if isinstance(type_, AbstractMultiRange):
            return _quoted("{" + ",".join(map(_range, value)) + "}")
        return None

    def _array(self, value: Any, item_type: TypeEngine[Any]) -> str:
        def item(one: Any) -> str:
            if isinstance(one, list | tuple):
                return self._array(one, item_type)
            return "NULL" if one is None else self.render_literal_value(one, item_type)

        return f"ARRAY[{', '.join(map(item, value))}]"


def _undecorated(value: Any, type_: Any, dialect: Any) -> tuple[Any, Any]:
    """Return a value, and its type, as a type of the user's own hands it on."""
    while isinstance(type_, TypeDecorator):
        for name in ("process_literal_param", "process_bind_param"):
            if getattr(type(type_), name) is not getattr(TypeDecorator, name):
                value = getattr(type_, name)(value, dialect)
                break
        type_ = type_.load_dialect_impl(dialect)
    return value, type_


def _quoted(text: str) -> str:
    return literal(text).strip()


def _json(value: Any) -> str:
    try:
        return _quoted(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, ConfigurationError) as error:
        raise exc.CompileError(str(error)) from error


def _range(value: Any) -> str:
    if not isinstance(value, Range):
        msg = f"{type(value).__name__} is no Range"
        raise exc.CompileError(msg)
    if value.empty:
        return "empty"
    for end in (value.lower, value.upper):
        if reason := unwritable(end):
            raise exc.CompileError(reason)
    lower, upper = (
        "" if end is None else f'"{end}"' for end in (value.lower, value.upper)
    )
    return f"{value.bounds[0]}{lower},{upper}{value.bounds[1]}"


def _ambiguous(value: Any, type_: Any) -> str | None:
    """Return why a time means one thing here and another where it is written."""
    if isinstance(value, dt.datetime) and isinstance(type_, DateTime):
        if type_.timezone and value.tzinfo is None:
            return f"{value} has no time zone and the column has: give it a tzinfo"
        if value.tzinfo is not None and not type_.timezone:
            return (
                f"{value} has a time zone, which a column without would drop: take it "
                "off, or give the column timezone=True"
            )
    return None


class _Dialect(PGDialect):
    """Be PostgreSQL without a driver, whose placeholders would double each percent."""

    statement_compiler = _Compiler
    supports_statement_cache = False

    def __init__(self, policy_dialect: Dialect) -> None:
        super().__init__(paramstyle="named")  # type: ignore[no-untyped-call]
        #: What claims are written for.
        self.policy_dialect = policy_dialect


_dialect = functools.lru_cache(_Dialect)


def compile_for(element: ClauseElement, dialect: Dialect) -> Compiled:
    """Return an element compiled, each value in it a literal.

    Args:
        element: The element.
        dialect: The habits of the engine that the policy is for.

    Raises:
        CompileError: A value has no literal.
    """
    found: Any = element.compile(
        dialect=_dialect(dialect), compile_kwargs={"literal_binds": True}
    )
    return Compiled(str(found), found.tables, found.names)


def sql_type(type_: TypeEngine[Any], dialect: Dialect) -> str:
    """Return the name PostgreSQL has for a type."""
    return type_.compile(_dialect(dialect))
