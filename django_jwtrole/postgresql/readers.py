"""Which policies read a column or a table, and what makes them anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

__all__ = ["Reader", "readers"]

# The columns asked for, and those that follow them through foreign keys: Django
# changes the type of both. A column number of 0 is the whole table.
_READERS = """
WITH RECURSIVE read (rel, att) AS (
    SELECT c.oid, coalesce(a.attnum, 0) FROM pg_catalog.pg_class AS c
    LEFT JOIN pg_catalog.pg_attribute AS a
        ON a.attrelid = c.oid AND a.attname = %(column)s AND NOT a.attisdropped
    WHERE c.oid = pg_catalog.to_regclass(%(table)s)
    UNION
    SELECT k.conrelid, k.conkey[n.i] FROM read
    JOIN pg_catalog.pg_constraint AS k ON k.contype = 'f' AND k.confrelid = read.rel
    CROSS JOIN LATERAL pg_catalog.generate_subscripts(k.confkey, 1) AS n (i)
    WHERE %(follow)s AND k.confkey[n.i] = read.att
)
SELECT DISTINCT p.polname::text, p.polrelid::pg_catalog.regclass::text,
    (SELECT c.relname::text FROM pg_catalog.pg_class AS c WHERE c.oid = p.polrelid),
    pg_catalog.concat('CREATE POLICY ', pg_catalog.quote_ident(p.polname), ' ON ',
        p.polrelid::pg_catalog.regclass, ' AS ',
        CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END, ' FOR ',
        CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT'
            WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END, ' TO ',
        (SELECT pg_catalog.string_agg(CASE r WHEN 0 THEN 'PUBLIC'
            ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(r)) END, ', ')
            FROM pg_catalog.unnest(p.polroles) AS r),
        ' USING (' || pg_catalog.pg_get_expr(p.polqual, p.polrelid) || ')',
        ' WITH CHECK (' || pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) || ')'),
    pg_catalog.concat('COMMENT ON POLICY ', pg_catalog.quote_ident(p.polname), ' ON ',
        p.polrelid::pg_catalog.regclass, ' IS ', pg_catalog.quote_nullable(
            pg_catalog.obj_description(p.oid, 'pg_policy')))
FROM read JOIN pg_catalog.pg_depend AS d
    ON d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
    AND d.refobjid = read.rel AND (read.att = 0 OR d.refobjsubid = read.att)
JOIN pg_catalog.pg_policy AS p
    ON d.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass AND d.objid = p.oid
WHERE read.att <> 0 OR p.polrelid <> read.rel
ORDER BY 2, 1
"""


class Reader(NamedTuple):
    """Be a policy that reads a column, and what makes it anew as it was."""

    name: str
    table: str
    db_table: str
    create: str
    comment: str


def readers(
    connection: BaseDatabaseWrapper, table: str, column: str | None, *, follow: bool
) -> list[Reader]:
    """Return the policies that read a column, or the other tables' that read a table.

    Args:
        connection: The owner's.
        table: The table's name, quoted.
        column: The column's name, ``None`` for the whole table.
        follow: Whether columns that refer to it by a foreign key count as well.
    """
    given = {"table": table, "column": column, "follow": follow}
    with connection.cursor() as cursor:
        cursor.execute(_READERS, given)
        return [Reader(*row) for row in cursor.fetchall()]
