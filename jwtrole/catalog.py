"""What the database really has, read from the system catalogs.

Queries come as text without parameters, so that any driver can send them; rows are
taken as plain tuples. https://www.postgresql.org/docs/current/catalogs.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jwtrole.policy import TEMPLATE, Policy
from jwtrole.quoting import literal, qualified

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "Found",
    "Privilege",
    "found_policies",
    "found_privileges",
    "found_sequences",
    "policies_sql",
    "privileges_sql",
    "row_security_sql",
    "sequences_sql",
]


@dataclass(frozen=True, slots=True)
class Found:
    """Be a policy that the database has, its expressions as PostgreSQL spells them.

    Args:
        policy: The policy.
        note: Its comment, where jwtrole keeps the hash of the declaration.
    """

    policy: Policy
    note: str | None

    @property
    def is_ours(self) -> bool:
        """Say whether jwtrole made it."""
        return (self.note or "").startswith("jwtrole:")

    def was_made_from(self, policy: Policy) -> bool:
        """Say whether a policy is what it was made from, going by the hash."""
        return self.note == f"jwtrole:{TEMPLATE}:{policy.hash}"

    def means(self, other: Policy) -> bool:
        """Say whether a policy that PostgreSQL spelled as well is the same one."""
        mine = self.policy
        return (
            mine.command == other.command
            and mine.permissive == other.permissive
            and set(mine.to) == set(other.to)
            and mine.using == other.using
            and mine.check == other.check
        )


@dataclass(frozen=True, slots=True, order=True)
class Privilege:
    """Be one privilege of one role.

    Args:
        role: The role, ``"PUBLIC"`` for everybody.
        name: ``"SELECT"``, ``"INSERT"``, ``"UPDATE"`` or ``"DELETE"``.
        column: The column it is for, empty for the whole table.
    """

    role: str
    name: str
    column: str = ""


def _table(table: str, schema: str | None) -> str:
    name = literal(qualified(schema, table)).strip()
    return f"pg_catalog.to_regclass({name})"


def row_security_sql(table: str, schema: str | None = None) -> str:
    """Return a query for one row (enabled, forced), or none where there is no table."""
    return (
        "SELECT relrowsecurity, relforcerowsecurity FROM pg_catalog.pg_class "
        f"WHERE oid = {_table(table, schema)}"
    )


def policies_sql(table: str, schema: str | None = None) -> str:
    """Return a query for a table's policies, to be read by :func:`found_policies`."""
    return (
        "SELECT polname::text, CASE polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN "
        "'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END, "
        "polpermissive, ARRAY(SELECT CASE r WHEN 0 THEN 'PUBLIC' ELSE "
        "pg_catalog.pg_get_userbyid(r)::text END FROM pg_catalog.unnest(polroles) r "
        "ORDER BY 1), pg_catalog.pg_get_expr(polqual, polrelid), "
        "pg_catalog.pg_get_expr(polwithcheck, polrelid), "
        "pg_catalog.obj_description(oid, 'pg_policy') FROM pg_catalog.pg_policy "
        f"WHERE polrelid = {_table(table, schema)} ORDER BY 1"
    )


def found_policies(
    rows: Iterable[Sequence[Any]], table: str, schema: str | None = None
) -> dict[str, Found]:
    """Return the policies by name that :func:`policies_sql` found."""
    found = {}
    for name, command, permissive, to, using, check, note in rows:
        # Without any expression a permissive policy opens nothing, a restrictive one
        # closes nothing.
        empty = using is None and check is None
        nothing = ("false" if permissive else "true") if empty else None
        policy = Policy(
            name=name,
            table=table,
            schema=schema,
            command=command,
            to=tuple(to),
            using=nothing if command != "INSERT" and empty else using,
            check=nothing if command == "INSERT" and empty else check,
            permissive=permissive,
        )
        found[name] = Found(policy, note)
    return found


def privileges_sql(table: str, schema: str | None = None) -> str:
    """Return a query for who but the owner may do what on a table and its columns."""
    return (
        "SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE "
        "pg_catalog.pg_get_userbyid(a.grantee)::text END, a.privilege_type, x.name "
        "FROM pg_catalog.pg_class c CROSS JOIN LATERAL (SELECT c.relacl, '' UNION ALL "
        "SELECT attacl, attname::text FROM pg_catalog.pg_attribute "
        "WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) AS x (acl, name) "
        "CROSS JOIN LATERAL pg_catalog.aclexplode(x.acl) AS a "
        f"WHERE c.oid = {_table(table, schema)} AND a.grantee <> c.relowner "
        "AND a.privilege_type IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE')"
    )


def found_privileges(rows: Iterable[Sequence[Any]]) -> set[Privilege]:
    """Return the privileges that :func:`privileges_sql` found."""
    return {Privilege(*row) for row in rows}


def sequences_sql(table: str, schema: str | None = None) -> str:
    """Return a query for who may draw from the sequences that a table's columns own.

    One row (column, role) for each, the role NULL where it is the owner alone.
    """
    return (
        "SELECT t.attname::text, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE "
        "pg_catalog.pg_get_userbyid(a.grantee)::text END FROM pg_catalog.pg_depend d "
        "JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S' "
        "JOIN pg_catalog.pg_attribute t "
        "ON t.attrelid = d.refobjid AND t.attnum = d.refobjsubid "
        "LEFT JOIN LATERAL pg_catalog.aclexplode(s.relacl) AS a "
        "ON a.privilege_type = 'USAGE' AND a.grantee <> s.relowner "
        "WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass "
        "AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass "
        f"AND d.deptype IN ('a', 'i') AND d.refobjid = {_table(table, schema)}"
    )


def found_sequences(rows: Iterable[Sequence[Any]]) -> dict[str, set[str]]:
    """Return the roles by column that :func:`sequences_sql` found."""
    found: dict[str, set[str]] = {}
    for column, role in rows:
        found.setdefault(column, set()).update(filter(None, [role]))
    return found
