"""Grants taken apart into single privileges, so that they compare, and put together."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from jwtrole.catalog import Privilege
from jwtrole.quoting import identifier
from jwtrole.roles import Grant

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["by_role", "each", "grants", "quoted", "swept", "written"]


def each(grant: Grant) -> Iterator[Privilege]:
    """Yield the privileges of a grant."""
    for text in grant.on:
        name, _, columns = text.removesuffix(")").partition("(")
        for column in columns.split(", "):
            yield Privilege(grant.role, name, column)


def swept(wanted: set[Privilege], surplus: set[Privilege]) -> set[Privilege]:
    """Return what goes with the surplus and has to be granted again.

    Revoking a privilege on the table takes it away on each column too.
    """
    whole = {(one.role, one.name) for one in surplus if not one.column}
    return {one for one in wanted if one.column and (one.role, one.name) in whole}


def by_role(privileges: Iterable[Privilege]) -> dict[str, list[Privilege]]:
    """Return privileges by role, both sorted."""
    found: dict[str, list[Privilege]] = defaultdict(list)
    for one in sorted(privileges):
        found[one.role].append(one)
    return found


def written(privileges: Iterable[Privilege]) -> tuple[str, ...]:
    """Return privileges as a declaration has them, as in ``"UPDATE(body, title)"``."""
    return tuple(
        f"{name}({', '.join(columns)})" if columns else name
        for name, columns in _by_name(privileges)
    )


def quoted(privileges: Iterable[Privilege]) -> str:
    """Return privileges as GRANT and REVOKE have them."""
    return ", ".join(
        f"{name} ({', '.join(map(identifier, columns))})" if columns else name
        for name, columns in _by_name(privileges)
    )


def grants(
    table: str, schema: str | None, privileges: Iterable[Privilege]
) -> Iterator[Grant]:
    """Yield the grants on a table, one for each role."""
    for role, held in by_role(privileges).items():
        yield Grant(table=table, schema=schema, role=role, on=written(held))


def _by_name(privileges: Iterable[Privilege]) -> Iterator[tuple[str, list[str]]]:
    found: dict[str, list[str]] = defaultdict(list)
    for one in sorted(privileges):
        found[one.name].append(one.column)
    for name, columns in found.items():
        if "" in columns:
            yield name, []
        if named := [column for column in columns if column]:
            yield name, named
