"""Compare the declared grants on one table with those that the database has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jwtrole.difference import Difference, Kind
from jwtrole.privileges import by_role, each, quoted, swept, written
from jwtrole.quoting import grantee
from jwtrole.sequences import SequenceGrant

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from jwtrole.catalog import Privilege
    from jwtrole.declared import Declared, Expected
    from jwtrole.live import Live

__all__ = ["differing_grants", "differing_sequences"]


def differing_grants(
    declared: Declared, there: Live, expected: Expected
) -> Iterator[Difference]:
    """Yield, role by role, what is granted too much and too little on a table.

    Args:
        declared: What is declared.
        there: What the database has.
        expected: Which roles are looked at.
    """
    wanted = {one for grant in declared.grants for one in each(grant)}
    held = there.privileges | there.escapes
    surplus = {one for one in held - wanted if expected.names(one.role)}
    missing = {one for one in wanted - held if not _is_covered(one, surplus)}
    for kind, differing in (
        (Kind.GRANT_SURPLUS, surplus),
        (Kind.GRANT_MISSING, missing),
    ):
        for role, them in by_role(differing).items():
            repair = _grant(them, declared.quoted, role)
            if kind is Kind.GRANT_SURPLUS:
                repair = _revoke(them, wanted, declared.quoted, role)
            yield Difference(
                kind=kind,
                table=declared.name,
                object=role,
                declared=_shown(wanted, role),
                there=_shown(held, role),
                repair=repair,
            )


def _is_covered(one: Privilege, surplus: Collection[Privilege]) -> bool:
    # By a privilege on the whole table; what takes that away grants the column's.
    return bool(swept({one}, set(surplus)))


def _grant(privileges: Iterable[Privilege], table: str, role: str) -> str:
    return f"GRANT {quoted(privileges)} ON TABLE {table} TO {grantee(role)};"


def _revoke(
    privileges: Collection[Privilege], wanted: set[Privilege], table: str, role: str
) -> str:
    revoke = f"REVOKE {quoted(privileges)} ON TABLE {table} FROM {grantee(role)};"
    again = swept(wanted, set(privileges))
    return f"{revoke}\n{_grant(again, table, role)}" if again else revoke


def _shown(privileges: Iterable[Privilege], role: str) -> str:
    return ", ".join(written(one for one in privileges if one.role == role))


def differing_sequences(
    declared: Declared, there: Live, expected: Expected
) -> Iterator[Difference]:
    """Yield who may draw too much and too little from the sequences of a table.

    Args:
        declared: What is declared.
        there: What the database has.
        expected: Which roles are looked at.
    """
    wanted = {(one.column, one.role) for one in declared.sequences}
    held = {(column, role) for column, them in there.sequences.items() for role in them}
    for column, role in sorted(held - wanted):
        if expected.names(role):
            yield _sequence(declared, column, role, surplus=True)
    for column, role in sorted(wanted - held):
        # An identity asks for no right, and a column may have no sequence.
        if column in there.serials:
            yield _sequence(declared, column, role, surplus=False)


def _sequence(
    declared: Declared, column: str, role: str, *, surplus: bool
) -> Difference:
    use = f"USAGE of the sequence of {column!r}"
    grant = SequenceGrant(
        table=declared.table, schema=declared.schema, column=column, role=role
    )
    (repair,) = grant.revoke() if surplus else grant.grant()
    return Difference(
        kind=Kind.SEQUENCE_GRANT_SURPLUS if surplus else Kind.SEQUENCE_GRANT_MISSING,
        table=declared.name,
        object=role,
        declared="" if surplus else use,
        there=use if surplus else "",
        repair=f"{repair};",
    )
