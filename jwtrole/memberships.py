"""Who is a member of whom: of a login in roles, and of a fixed role in another.

https://www.postgresql.org/docs/current/role-membership.html
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from jwtrole.fixed_roles import name_of
from jwtrole.quoting import identifier, literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jwtrole.fixed_roles import Role

__all__ = ["block", "inheritance", "member"]


def block(body: str, **names: str) -> str:
    """Return a DO block; what stands in braces is taken from ``names``."""
    # Quoted first: a name may hold the tag, so that the tag grows until none does.
    text, tag = body.format(**names), "$do$"
    while tag in text:
        tag = f"{tag[:-1]}o$"
    return f"DO {tag}\nBEGIN\n{text}\nEND\n{tag}"


# PostgreSQL 15 and older cannot read the exact form, which therefore is a text there.
_MEMBER = """\
    IF current_setting('server_version_num')::int >= 160000 THEN
        EXECUTE {exact};
    ELSE
        {plain};
    END IF;"""


def member(
    role: str, member: str, *, inherit: bool = False, settable: bool = False
) -> str:
    """Return the statement that makes a role a member of another.

    Args:
        role: What it becomes a member of.
        member: What becomes a member.
        inherit: Whether it has its rights without becoming it. Before PostgreSQL 16
            the member's own INHERIT says that.
        settable: Whether it may become it. Before PostgreSQL 16 each member may.
    """
    plain = f"GRANT {identifier(role)} TO {identifier(member)}"
    exact = f"{plain} WITH INHERIT {_said(inherit)}, SET {_said(settable)}"
    return block(_MEMBER, plain=plain, exact=literal(exact).strip())


def _said(value: bool) -> str:  # noqa: FBT001  one word for it
    return "TRUE" if value else "FALSE"


# Each as whoever granted it, where PostgreSQL keeps that apart.
_UNDECLARED = """\
    DECLARE
        held record;
    BEGIN
        FOR held IN
            SELECT r.rolname AS role, m.rolname AS member, g.rolname AS grantor
            FROM pg_catalog.pg_auth_members AS a
            JOIN pg_catalog.pg_roles AS r ON r.oid = a.roleid
            JOIN pg_catalog.pg_roles AS m ON m.oid = a.member
            LEFT JOIN pg_catalog.pg_roles AS g ON g.oid = a.grantor
            WHERE r.rolname IN ({every}) AND m.rolname IN ({every}){but}
        LOOP
            EXECUTE format('REVOKE %I FROM %I', held.role, held.member)
                || CASE WHEN current_setting('server_version_num')::int >= 160000
                    THEN format(' GRANTED BY %I', held.grantor) ELSE '' END;
        END LOOP;
    END;"""

# What it is set to is looked at alone, and undone.
_TRIED = """\
    PERFORM pg_catalog.set_config({name}, {value}, true);
    RAISE SQLSTATE 'JW000';
EXCEPTION WHEN SQLSTATE 'JW000' THEN
    NULL;"""


def inheritance(roles: Mapping[str, Role]) -> Iterator[str]:
    """Yield what makes fixed roles inherit one another as declared, and no further.

    Also what fails where the server takes a role's setting for nonsense.

    Args:
        roles: Every fixed role by name, and what each declares.
    """
    pairs = [
        (name_of(inherited), name)
        for name, role in roles.items()
        for inherited in dict.fromkeys(map(name_of, role.inherits))
    ]
    every = ", ".join(literal(name).strip() for name in roles)
    declared = ", ".join(
        f"({literal(role).strip()}, {literal(name).strip()})" for role, name in pairs
    )
    but = f" AND (r.rolname, m.rolname) NOT IN ({declared})" if pairs else ""
    # First: what is declared the other way round now would be a circle.
    yield block(_UNDECLARED, every=every, but=but)
    for inherited, name in pairs:
        yield member(inherited, name, inherit=True)
    settings = (role.settings.items() for role in roles.values())
    for setting, value in dict.fromkeys(itertools.chain.from_iterable(settings)):
        yield block(_TRIED, name=literal(setting).strip(), value=literal(value).strip())
