"""A policy whose expressions are SQL text already, and the statements it becomes.

The adapters compile the expressions; everything after that is one and the same here.
https://www.postgresql.org/docs/current/sql-createpolicy.html
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from jwtrole.dialect import POSTGRESQL, Dialect
from jwtrole.errors import ConfigurationError
from jwtrole.fragment import whole
from jwtrole.quoting import grantee, identifier, literal, qualified

__all__ = [
    "COMMANDS",
    "TEMPLATE",
    "Policy",
    "claim_default",
    "claim_expression",
    "clause",
    "disable_row_security",
    "enable_row_security",
    "sealed_clause",
]

#: What a policy may be for.
COMMANDS = ("ALL", "SELECT", "INSERT", "UPDATE", "DELETE")

#: Version of the text that policies compile to; a new one re-emits every policy.
TEMPLATE = 1


def claim_expression(claim: str, sql_type: str = "text") -> str:
    """Return a claim as an expression for policies, as PostgreSQL has it.

    The sub-select makes it read and cast once a statement, not once a row.
    """
    return POSTGRESQL.claim(claim, sql_type)


def claim_default(claim: str, sql_type: str = "text") -> str:
    """Return a claim as a column default, which may hold no sub-select."""
    return POSTGRESQL.claim_default(claim, sql_type)


def sealed_clause(clause: str) -> str:
    """Return a clause that also asks for an identity put on in this transaction.

    Without it an ``OR`` or a bare ``true`` would open rows to a session that merely
    switched its role.
    """
    return POSTGRESQL.sealed(clause)


def clause(
    sql: str,
    *,
    permissive: bool,
    strict: bool,
    dialect: Dialect = POSTGRESQL,
) -> str:
    """Return the text of USING or WITH CHECK for an expression that is compiled.

    Args:
        sql: The expression.
        permissive: Whether the policy is PERMISSIVE; a restrictive one opens nothing
            by itself.
        strict: Whether no row can pass but by a comparison with a claim.
        dialect: How it is written.

    Raises:
        ConfigurationError: The text is no expression by itself.
    """
    text = whole(sql)
    return text if strict or not permissive else dialect.sealed(text)


def enable_row_security(table: str, schema: str | None = None) -> tuple[str, str]:
    """Return the statements that turn row security on, for the owner as well."""
    name = qualified(schema, table)
    return (
        f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY",
        f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY",
    )


def disable_row_security(table: str, schema: str | None = None) -> tuple[str, str]:
    """Return the statements that turn row security off."""
    name = qualified(schema, table)
    return (
        f"ALTER TABLE {name} NO FORCE ROW LEVEL SECURITY",
        f"ALTER TABLE {name} DISABLE ROW LEVEL SECURITY",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Be one row-security policy, its expressions compiled.

    Args:
        name: Its name, unique on its table, at most 63 bytes.
        table: The table's name.
        schema: The table's schema, or ``None`` for the search path's.
        command: One of :data:`COMMANDS`.
        to: The roles it is for; ``"PUBLIC"`` must be spelled out.
        using: SQL of the rows that may be seen or touched.
        check: SQL that a written row must meet; ``None`` takes ``using``.
        permissive: ``False`` makes it RESTRICTIVE.

    Raises:
        ConfigurationError: No role or no usable one, no expression, an unknown
            command, or an expression that the command has no use for.
    """

    name: str
    table: str
    schema: str | None = None
    command: str = "ALL"
    to: tuple[str, ...] = ()
    using: str | None = None
    check: str | None = None
    permissive: bool = True

    def __post_init__(self) -> None:
        where = f"Policy {self.name!r} on {self.table!r}"
        if self.command not in COMMANDS:
            msg = f"{where}: {self.command!r} is none of {', '.join(COMMANDS)}."
            raise ConfigurationError(msg)
        if isinstance(self.to, str) or not self.to:
            msg = (
                f"{where}: to= is a list of roles, such as ['member'], not {self.to!r}."
            )
            raise ConfigurationError(msg)
        for role in self.to:
            grantee(role)
        if self.using is None and self.check is None:
            msg = f"{where}: give using=, check= or both."
            raise ConfigurationError(msg)
        if self.using is not None and self.command == "INSERT":
            msg = f"{where}: an INSERT policy has check= alone; no row is read."
            raise ConfigurationError(msg)
        if self.check is not None and self.command in {"SELECT", "DELETE"}:
            msg = (
                f"{where}: a {self.command} policy has using= alone; no row is written."
            )
            raise ConfigurationError(msg)

    @property
    def hash(self) -> str:
        """Return 16 hexadecimal digits that change when the policy changes."""
        parts = (
            TEMPLATE,
            self.command,
            sorted(self.to),
            self.using,
            self.check,
            self.permissive,
        )
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    @property
    def definition(self) -> str:
        """Return what CREATE POLICY says of it after its name and its table."""
        roles = ", ".join(map(grantee, self.to))
        mode = "PERMISSIVE" if self.permissive else "RESTRICTIVE"
        text = f"AS {mode} FOR {self.command} TO {roles}"
        if self.using is not None:
            text += f" USING ({self.using})"
        if self.check is not None:
            text += f" WITH CHECK ({self.check})"
        return text

    def create(self) -> tuple[str, str]:
        """Return the statements that create it, the second recording its hash."""
        where = f"{identifier(self.name)} ON {qualified(self.schema, self.table)}"
        text = f"CREATE POLICY {where} {self.definition}"
        note = literal(f"jwtrole:{TEMPLATE}:{self.hash}")
        return text, f"COMMENT ON POLICY {where} IS {note}"

    def drop(self) -> tuple[str]:
        """Return the statement that drops it; a policy that is gone is an error."""
        name, table = identifier(self.name), qualified(self.schema, self.table)
        return (f"DROP POLICY {name} ON {table}",)
