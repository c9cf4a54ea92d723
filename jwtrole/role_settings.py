"""The settings that go on with a role, and off with it, inside one transaction.

PostgreSQL applies ``ALTER ROLE ... SET`` when a session logs in and at no SET ROLE.
https://www.postgresql.org/docs/current/sql-alterrole.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from jwtrole.quoting import identifier

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Settings", "columns", "taken_off"]

#: The settings of each role that has some.
Settings = Mapping[str, Mapping[str, str]]


def columns(own: Mapping[str, str], first: int) -> str:
    """Return what a SELECT sets them with, name and value bound for each.

    Args:
        own: The settings of one role.
        first: The number of the first parameter.
    """
    numbers = range(first, first + 2 * len(own), 2)
    return "".join(f", pg_catalog.set_config(${n}, ${n + 1}, true)" for n in numbers)


def taken_off(own: Mapping[str, str]) -> Iterator[str]:
    """Yield what takes them off where the transaction goes on as somebody else.

    Args:
        own: The settings of one role.
    """
    for name in own:
        quoted = ".".join(map(identifier, name.split(".")))
        yield f"SET LOCAL {quoted} TO DEFAULT"
