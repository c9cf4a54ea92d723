"""Grants on sequences, functions and schemas, in a project's own migrations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django_jwtrole.operation import DatabaseOperation, run
from jwtrole import grants

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.backends.base.schema import BaseDatabaseSchemaEditor as Editor

__all__ = ["GrantOn", "RevokeOn"]


class _OnObject(DatabaseOperation):
    _verb: str

    def __init__(
        self,
        kind: str,
        name: str,
        *,
        to: str,
        on: Sequence[str],
        schema: str | None = None,
    ) -> None:
        self.grant: grants.GrantOn = grants.GrantOn(kind, name, to, on, schema)

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        """Return what a migration writes."""
        given = self.grant
        written = {"to": given.to, **given.written()}
        return type(self).__name__, [given.kind, given.name], written

    @property
    def role_names(self) -> frozenset[str]:
        """Return the role that must exist before."""
        return frozenset({self.grant.to})

    def describe(self) -> str:
        """Return one line about it."""
        given = self.grant
        rights = ", ".join(given.on)
        return f"{self._verb} {given.to}: {rights} on {given.kind} {given.name}"

    @property
    def migration_name_fragment(self) -> str:
        """Return a part for the name of a migration."""
        name = "".join(c if c.isalnum() else "_" for c in self.grant.name).strip("_")
        return f"{self._verb}_{self.grant.to}_{name}".lower()


class GrantOn(_OnObject):
    """Give a role privileges on a sequence, a function or a schema; reversible.

    Nothing happens on databases other than PostgreSQL.

    Args:
        kind: ``"sequence"``, ``"function"``, ``"schema"``, or what the owner will
            create in a schema: ``"default tables"`` and so on.
        name: Its name; of a function with the types of its arguments, as in
            ``"total(uuid)"``.
        to: The role; ``"PUBLIC"`` must be spelled out.
        on: Privileges such as ``["USAGE"]``.
        schema: The schema of a sequence or function where the search path does not
            lead there.

    Raises:
        ConfigurationError: A kind, a name or a privilege that cannot be granted.
    """

    _verb = "Grant"

    def _forwards(self, schema_editor: Editor) -> None:
        run(schema_editor, self.grant.grant())

    def _backwards(self, schema_editor: Editor) -> None:
        run(schema_editor, self.grant.revoke())


class RevokeOn(_OnObject):
    """Take privileges on a sequence, a function or a schema away; reversible.

    Takes what ``GrantOn`` does. Backwards it grants them.
    """

    _verb = "Revoke"

    def _forwards(self, schema_editor: Editor) -> None:
        run(schema_editor, self.grant.revoke())

    def _backwards(self, schema_editor: Editor) -> None:
        run(schema_editor, self.grant.grant())
