"""Which SQL types PostgreSQL compares with one another, as far as it is known here.

https://www.postgresql.org/docs/current/datatype.html
"""

from __future__ import annotations

import re

__all__ = ["comparable"]

_FAMILIES = {
    "text": ("bpchar, char, character, character varying, citext, name, text, varchar"),
    "numbers": (
        "bigint, bigserial, decimal, double precision, float, float4, float8, int,"
        " int2, int4, int8, integer, numeric, real, serial, smallint, smallserial"
    ),
    "dates": (
        "date, timestamp, timestamp with time zone, timestamp without time zone,"
        " timestamptz"
    ),
    "times": "interval, time, time with time zone, time without time zone, timetz",
    "addresses": "cidr, inet",
    "booleans": "bool, boolean",
    "bytea": "bytea",
    "json": "json",
    "jsonb": "jsonb",
    "uuid": "uuid",
}
_FAMILY = {
    name: family for family, names in _FAMILIES.items() for name in names.split(", ")
}
_LENGTH = re.compile(r"\([^)]*\)")


def comparable(one: str, other: str) -> bool:
    """Return whether ``one = other`` has an operator; types unknown here count as such.

    Args:
        one: The SQL name of a type.
        other: The SQL name of another.
    """
    first, second = _family(one), _family(other)
    return first is None or second is None or first == second


def _family(sql_type: str) -> str | None:
    bare = " ".join(_LENGTH.sub(" ", sql_type.lower()).split())
    found = _FAMILY.get(bare.removesuffix("[]"))
    return f"{found} in an array" if found and bare.endswith("[]") else found
