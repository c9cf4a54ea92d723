"""The only place where a name or a value becomes SQL text.

https://www.postgresql.org/docs/current/sql-syntax-lexical.html
"""

from __future__ import annotations

import hashlib
import math
from decimal import Decimal
from typing import Any

from jwtrole.errors import ConfigurationError

__all__ = [
    "MAX_NAME_BYTES",
    "grantee",
    "identifier",
    "literal",
    "qualified",
    "short_name",
    "unwritable",
]

#: The longest name PostgreSQL keeps (NAMEDATALEN - 1), in bytes.
MAX_NAME_BYTES = 63


def identifier(name: str) -> str:
    """Quote a name as an SQL identifier.

    Raises:
        ConfigurationError: The name is empty, holds a NUL or is over 63 bytes, which
            PostgreSQL would cut without an error.
    """
    if not name or "\0" in name:
        msg = f"{name!r} is not a name in PostgreSQL: give a non-empty one without NUL."
        raise ConfigurationError(msg)
    if (size := len(name.encode())) > MAX_NAME_BYTES:
        msg = (
            f"The name {name!r} has {size} bytes and PostgreSQL keeps "
            f"{MAX_NAME_BYTES}: shorten it."
        )
        raise ConfigurationError(msg)
    return '"' + name.replace('"', '""') + '"'


def qualified(schema: str | None, name: str) -> str:
    """Quote a name with its schema, or alone where the schema is ``None``."""
    quoted = identifier(name)
    return quoted if schema is None else f"{identifier(schema)}.{quoted}"


def grantee(role: str) -> str:
    """Quote a role that a policy or a grant is for; ``PUBLIC`` stands for everybody.

    Raises:
        ConfigurationError: No usable name, or ``public`` or ``none``, which PostgreSQL
            takes for its keywords even when they are quoted.
    """
    if role == "PUBLIC":
        return role
    if role in {"public", "none"}:
        msg = f"{role!r} is no role: name one, or spell 'PUBLIC' to mean everybody."
        raise ConfigurationError(msg)
    return identifier(role)


def literal(value: str) -> str:
    """Quote a string as an SQL literal that reads the same under every setting.

    A backslash is written in the E form, whose meaning does not depend on
    ``standard_conforming_strings``.

    Raises:
        ConfigurationError: The value holds a NUL, which no PostgreSQL text can.
    """
    if "\0" in value:
        msg = "A NUL character cannot stand in an SQL literal: remove it."
        raise ConfigurationError(msg)
    doubled = value.replace("'", "''")
    if "\\" in doubled:
        return " E'" + doubled.replace("\\", "\\\\") + "'"
    return "'" + doubled + "'"


def short_name(name: str, limit: int = MAX_NAME_BYTES) -> str:
    """Cut a name to ``limit`` bytes, its tail replaced by a hash when it is longer.

    Two long names that differ anywhere stay different.
    """
    encoded = name.encode()
    if len(encoded) <= limit:
        return name
    digest = hashlib.sha256(encoded).hexdigest()[:8]
    head = encoded[: limit - 9].decode(errors="ignore")
    return f"{head}_{digest}"


def unwritable(value: Any) -> str | None:
    """Return why a value cannot be written into a policy for good, or ``None``.

    Args:
        value: What an expression compares with.
    """
    if isinstance(value, bytes | bytearray | memoryview):
        return "bytes are no literal"
    if isinstance(value, float | Decimal) and not math.isfinite(value):
        return f"{value} is no literal"
    if isinstance(value, str) and "\0" in value:
        return "text with a NUL is no literal"
    if callable(value):
        return (
            f"{getattr(value, '__qualname__', value)!r} would be called anew each time "
            "and cannot be frozen (for the time of each statement use the function of "
            "the database, such as now())"
        )
    return None
