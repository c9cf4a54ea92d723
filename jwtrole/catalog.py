"""What the database really has, read from the system catalogs.

Queries come as text without parameters, so that any driver can send them; rows are
taken as plain tuples. https://www.postgresql.org/docs/current/catalogs.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jwtrole.grants import KINDS
from jwtrole.policy import TEMPLATE, Policy
from jwtrole.quoting import literal, qualified

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jwtrole.grants import GrantOn

__all__ = [
    "Found",
    "Privilege",
    "PrivilegeOn",
    "found_grants",
    "found_policies",
    "found_privileges",
    "found_sequences",
    "found_serials",
    "grants_sql",
    "named_sql",
    "policies_sql",
    "privileges_sql",
    "protected_sql",
    "sequences_sql",
    "table_sql",
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
        name: ``"SELECT"``, ``"INSERT"``, ``"UPDATE"``, ``"DELETE"``, or one that works
            past row security and that nothing here grants, such as ``"TRUNCATE"``.
        column: The column it is for, empty for the whole table.
    """

    role: str
    name: str
    column: str = ""


def _table(table: str, schema: str | None) -> str:
    name = literal(qualified(schema, table)).strip()
    return f"pg_catalog.to_regclass({name})"


def table_sql(table: str, schema: str | None = None) -> str:
    """Return a query for one row (oid, enabled, forced, owner), or none.

    The two in the middle are those of row security.
    """
    return (
        "SELECT oid::bigint, relrowsecurity, relforcerowsecurity, "
        "pg_catalog.pg_get_userbyid(relowner)::text FROM pg_catalog.pg_class "
        f"WHERE oid = {_table(table, schema)}"
    )


def protected_sql() -> str:
    """Return a query for the tables (oid, schema, name) whose policies jwtrole made."""
    return (
        "SELECT c.oid::bigint, n.nspname::text, c.relname::text "
        "FROM pg_catalog.pg_class c "
        "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
        "WHERE EXISTS (SELECT FROM pg_catalog.pg_policy p WHERE p.polrelid = c.oid AND "
        "pg_catalog.starts_with(pg_catalog.obj_description(p.oid, 'pg_policy'), "
        "'jwtrole:')) ORDER BY 2, 3"
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
        f"WHERE c.oid = {_table(table, schema)} AND a.grantee <> c.relowner"
    )


def found_privileges(rows: Iterable[Sequence[Any]]) -> set[Privilege]:
    """Return the privileges that :func:`privileges_sql` found."""
    return {Privilege(*row) for row in rows}


def sequences_sql(table: str, schema: str | None = None) -> str:
    """Return a query for who may draw from the sequences that a table's columns own.

    One row (column, role, kind) for each, the role NULL where it is the owner alone.
    The kind is ``"a"`` for SERIAL and ``"i"`` for an identity, which asks for no right.
    """
    return (
        "SELECT t.attname::text, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE "
        "pg_catalog.pg_get_userbyid(a.grantee)::text END, d.deptype::text "
        "FROM pg_catalog.pg_depend d "
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
    for column, role, _ in rows:
        found.setdefault(column, set()).update(filter(None, [role]))
    return found


def found_serials(rows: Iterable[Sequence[Any]]) -> set[str]:
    """Return the SERIAL columns that :func:`sequences_sql` found."""
    return {column for column, _, kind in rows if kind == "a"}


@dataclass(frozen=True, slots=True)
class PrivilegeOn:
    """Be one privilege of one role on what is no table.

    Args:
        kind: One of :data:`jwtrole.grants.KINDS`.
        schema: Its schema, or ``None`` where it is the one things are created in.
        name: Its name; of a function with the types of its arguments.
        role: The role, ``"PUBLIC"`` for everybody.
        privilege: ``"USAGE"`` and the like.
    """

    kind: str
    schema: str | None
    name: str
    role: str
    privilege: str

    def __lt__(self, other: PrivilegeOn) -> bool:
        return self._key < other._key

    @property
    def _key(self) -> tuple[str, ...]:
        return self.kind, self.schema or "", self.name, self.role, self.privilege


_HOME = "NULLIF(n.nspname::text, pg_catalog.current_schema()::text)"
_SIGNATURE = (
    "p.proname::text || '(' || pg_catalog.array_to_string(ARRAY(SELECT "
    "pg_catalog.format_type(t.type, NULL) FROM pg_catalog.unnest(p.proargtypes) "
    "WITH ORDINALITY AS t (type, place) ORDER BY t.place), ', ') || ')'"
)
# What a table's column owns goes with the table.
_OWNED = (
    "EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.objid = c.oid "
    "AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjsubid > 0 "
    "AND d.deptype IN ('a', 'i'))"
)


def grants_sql() -> str:
    """Return a query for who but the owner may do what on what is no table.

    To be read by :func:`found_grants`. Of default privileges those of the current user
    alone count.
    """
    return (
        "SELECT o.kind, o.home, o.name, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE "
        "pg_catalog.pg_get_userbyid(a.grantee)::text END, a.privilege_type FROM ("
        f"SELECT 'sequence', n.nspname, {_HOME}, c.relname::text, c.relacl, c.relowner "
        "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n "
        f"ON n.oid = c.relnamespace WHERE c.relkind = 'S' AND NOT {_OWNED} UNION ALL "
        f"SELECT 'function', n.nspname, {_HOME}, {_SIGNATURE}, p.proacl, p.proowner "
        "FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n "
        "ON n.oid = p.pronamespace WHERE p.prokind <> 'p' UNION ALL "
        "SELECT 'schema', n.nspname, NULL, n.nspname::text, n.nspacl, n.nspowner "
        "FROM pg_catalog.pg_namespace n UNION ALL "
        "SELECT 'default ' || CASE d.defaclobjtype WHEN 'r' THEN 'tables' "
        "WHEN 'S' THEN 'sequences' ELSE 'functions' END, n.nspname, NULL, "
        "n.nspname::text, d.defaclacl, d.defaclrole FROM pg_catalog.pg_default_acl d "
        "JOIN pg_catalog.pg_namespace n ON n.oid = d.defaclnamespace "
        "WHERE d.defaclobjtype IN ('r', 'S', 'f') "
        "AND pg_catalog.pg_get_userbyid(d.defaclrole) = current_user"
        ") AS o (kind, schema, home, name, acl, owner) "
        "CROSS JOIN LATERAL pg_catalog.aclexplode(o.acl) AS a "
        "WHERE a.grantee <> o.owner AND o.schema NOT IN ('jwtrole', "
        "'information_schema') AND pg_catalog.left(o.schema, 3) <> 'pg_'"
    )


def found_grants(rows: Iterable[Sequence[Any]]) -> set[PrivilegeOn]:
    """Return the privileges that :func:`grants_sql` found and that can be granted."""
    found = (PrivilegeOn(*row) for row in rows)
    return {one for one in found if one.privilege in KINDS[one.kind]}


def named_sql(grant: GrantOn) -> str | None:
    """Return a query for what a grant names, as :func:`grants_sql` spells it.

    One row (schema, name, owned by a column), or none where it is not there;
    ``None`` where the name needs no looking up.
    """
    name = literal(grant.identity()).strip()
    if grant.kind == "sequence":
        return (
            f"SELECT {_HOME}, c.relname::text, {_OWNED} FROM pg_catalog.pg_class c "
            "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
            f"WHERE c.oid = pg_catalog.to_regclass({name})"
        )
    if grant.kind == "function":
        return (
            f"SELECT {_HOME}, {_SIGNATURE}, false FROM pg_catalog.pg_proc p "
            "JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace "
            f"WHERE p.oid = pg_catalog.to_regprocedure({name})"
        )
    return None
