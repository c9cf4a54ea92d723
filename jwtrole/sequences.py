"""The right to draw from a table's SERIAL sequence, which INSERT does not bring.

https://www.postgresql.org/docs/current/datatype-numeric.html#DATATYPE-SERIAL
"""

from __future__ import annotations

from dataclasses import dataclass

from jwtrole.quoting import identifier, literal, qualified

__all__ = ["SequenceGrant"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceGrant:
    """Be the use of the sequence that a SERIAL column owns, whatever its name.

    Args:
        table: The table's name.
        schema: The table's schema, or ``None`` for the search path's.
        column: The SERIAL column.
        role: The role that may draw from it; ``"PUBLIC"`` must be spelled out.
    """

    table: str
    schema: str | None = None
    column: str
    role: str

    def _statement(self, verb: str, preposition: str) -> tuple[str]:
        role = self.role if self.role == "PUBLIC" else identifier(self.role)
        table = literal(qualified(self.schema, self.table)).strip()
        column = literal(self.column).strip()
        before = literal(f"{verb} USAGE ON SEQUENCE ").strip()
        after = literal(f" {preposition} {role}").strip()
        found = f"pg_catalog.pg_get_serial_sequence({table}, {column})"
        return (f"DO $do$ BEGIN EXECUTE {before} || {found} || {after}; END $do$",)

    def grant(self) -> tuple[str]:
        """Return the statement that grants it."""
        return self._statement("GRANT", "TO")

    def revoke(self) -> tuple[str]:
        """Return the statement that takes it away."""
        return self._statement("REVOKE", "FROM")
