"""What revisions say: ``op.create_policy``, ``op.grant`` and the like."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic.operations import Operations

from jwtrole import grants, policy, roles
from jwtrole.sequences import SequenceGrant
from sqlalchemy_jwtrole.alembic.operation import (
    OnObject,
    OnPolicy,
    OnRole,
    OnTable,
    Operation,
    TableName,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "CreatePolicy",
    "DisableRowSecurity",
    "DropPolicy",
    "EnableRowSecurity",
    "GrantOn",
    "GrantPrivileges",
    "GrantSequence",
    "RevokeOn",
    "RevokePrivileges",
    "RevokeSequence",
]


@Operations.register_operation("create_policy")
class CreatePolicy(OnPolicy):
    """Create a policy."""

    verb = "create_policy"
    statements = "create"

    @classmethod
    def create_policy(  # noqa: PLR0913  what CREATE POLICY takes
        cls, operations: Operations, table: str, *, name: str, to: Sequence[str],
        using: str | None = None, check: str | None = None, command: str = "ALL",
        permissive: bool = True, schema: str | None = None,
    ) -> None:  # fmt: skip
        """Create a policy from SQL text and record its hash.

        Raises:
            ConfigurationError: A role is missing, or the definition makes no sense.
        """
        item = policy.Policy(
            name=name, table=table, schema=schema, command=command, to=tuple(to),
            using=using, check=check, permissive=permissive,
        )  # fmt: skip
        operations.invoke(cls(item))


@Operations.register_operation("drop_policy")
class DropPolicy(OnPolicy):
    """Drop a policy."""

    verb = "drop_policy"
    statements = "drop"

    @classmethod
    def drop_policy(  # noqa: PLR0913  what CREATE POLICY takes
        cls, operations: Operations, table: str, *, name: str, to: Sequence[str],
        using: str | None = None, check: str | None = None, command: str = "ALL",
        permissive: bool = True, schema: str | None = None,
    ) -> None:  # fmt: skip
        """Drop a policy; the definition is what a downgrade creates again."""
        item = policy.Policy(
            name=name, table=table, schema=schema, command=command, to=tuple(to),
            using=using, check=check, permissive=permissive,
        )  # fmt: skip
        operations.invoke(cls(item))


@Operations.register_operation("enable_row_security")
class EnableRowSecurity(OnTable):
    """Turn row security on.

    Args:
        item: The table.
        repairs: It was half on, and must not be turned off on the way back.
    """

    verb = "enable_row_security"
    statements = "enable"

    def __init__(self, item: TableName, *, repairs: bool = False) -> None:
        super().__init__(item)
        self.repairs = repairs

    @classmethod
    def enable_row_security(
        cls, operations: Operations, table: str, *, schema: str | None = None
    ) -> None:
        """Turn row security on for a table, for its owner as well."""
        operations.invoke(cls(TableName(table, schema)))

    def reverse(self) -> Operation:
        """Return what undoes it, itself where it only repaired."""
        return self if self.repairs else super().reverse()


@Operations.register_operation("disable_row_security")
class DisableRowSecurity(OnTable):
    """Turn row security off."""

    verb = "disable_row_security"
    statements = "disable"

    @classmethod
    def disable_row_security(
        cls, operations: Operations, table: str, *, schema: str | None = None
    ) -> None:
        """Turn row security off for a table."""
        operations.invoke(cls(TableName(table, schema)))


@Operations.register_operation("grant")
class GrantPrivileges(OnRole):
    """Grant privileges on a table."""

    verb = statements = "grant"

    @classmethod
    def grant(
        cls, operations: Operations, table: str, role: str, *,
        on: Sequence[str], schema: str | None = None,
    ) -> None:  # fmt: skip
        """Grant a role privileges such as ``"SELECT"`` or ``"UPDATE(body)"``.

        Raises:
            ConfigurationError: The role is missing, or a privilege cannot be granted.
        """
        item = roles.Grant(table=table, schema=schema, role=role, on=tuple(on))
        operations.invoke(cls(item))


@Operations.register_operation("revoke")
class RevokePrivileges(OnRole):
    """Take privileges on a table away."""

    verb = statements = "revoke"

    @classmethod
    def revoke(
        cls, operations: Operations, table: str, role: str, *,
        on: Sequence[str], schema: str | None = None,
    ) -> None:  # fmt: skip
        """Take privileges such as ``"SELECT"`` or ``"UPDATE(body)"`` from a role."""
        item = roles.Grant(table=table, schema=schema, role=role, on=tuple(on))
        operations.invoke(cls(item))


@Operations.register_operation("grant_sequence")
class GrantSequence(OnRole):
    """Grant the use of the sequence behind a SERIAL column."""

    verb = "grant_sequence"
    statements = "grant"

    @classmethod
    def grant_sequence(
        cls, operations: Operations, table: str, role: str, *,
        column: str, schema: str | None = None,
    ) -> None:  # fmt: skip
        """Let a role draw from the sequence of a SERIAL column, whatever its name."""
        item = SequenceGrant(table=table, schema=schema, column=column, role=role)
        operations.invoke(cls(item))


@Operations.register_operation("revoke_sequence")
class RevokeSequence(OnRole):
    """Take the use of the sequence behind a SERIAL column away."""

    verb = "revoke_sequence"
    statements = "revoke"

    @classmethod
    def revoke_sequence(
        cls, operations: Operations, table: str, role: str, *,
        column: str, schema: str | None = None,
    ) -> None:  # fmt: skip
        """Keep a role from drawing from the sequence of a SERIAL column."""
        item = SequenceGrant(table=table, schema=schema, column=column, role=role)
        operations.invoke(cls(item))


@Operations.register_operation("grant_on")
class GrantOn(OnObject):
    """Grant privileges on what is no table."""

    verb = "grant_on"
    statements = "grant"

    @classmethod
    def grant_on(  # noqa: PLR0913  kind, name, role, privileges
        cls, operations: Operations, kind: str, name: str, role: str, *,
        on: Sequence[str], schema: str | None = None,
    ) -> None:  # fmt: skip
        """Grant a role privileges on a sequence, a function or a schema.

        Raises:
            ConfigurationError: The role is missing, or as for
                :class:`jwtrole.grants.GrantOn`.
        """
        operations.invoke(cls(grants.GrantOn(kind, name, role, on, schema)))


@Operations.register_operation("revoke_on")
class RevokeOn(OnObject):
    """Take privileges on what is no table away."""

    verb = "revoke_on"
    statements = "revoke"

    @classmethod
    def revoke_on(  # noqa: PLR0913  kind, name, role, privileges
        cls, operations: Operations, kind: str, name: str, role: str, *,
        on: Sequence[str], schema: str | None = None,
    ) -> None:  # fmt: skip
        """Take privileges on a sequence, a function or a schema from a role."""
        operations.invoke(cls(grants.GrantOn(kind, name, role, on, schema)))


_OPPOSITES: tuple[tuple[type[Operation], type[Operation]], ...] = (
    (CreatePolicy, DropPolicy),
    (EnableRowSecurity, DisableRowSecurity),
    (GrantOn, RevokeOn),
    (GrantPrivileges, RevokePrivileges),
    (GrantSequence, RevokeSequence),
)
for _one, _other in _OPPOSITES:
    _one.opposite, _other.opposite = _other, _one
