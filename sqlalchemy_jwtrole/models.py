"""A mixin for tables whose rows belong to a tenant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import Uuid, event
from sqlalchemy.orm import declared_attr, mapped_column

from jwtrole.errors import ConfigurationError
from jwtrole.quoting import short_name
from jwtrole.roles import PRIVILEGES
from sqlalchemy_jwtrole.expressions import ClaimDefault, claim
from sqlalchemy_jwtrole.policy import Grant, Policy, declare, declared

if TYPE_CHECKING:
    import uuid
    from collections.abc import Sequence

    from sqlalchemy import Column, Table
    from sqlalchemy.orm import Mapped, Mapper

__all__ = ["TenantMixin"]


class TenantMixin:
    """Give each row a tenant, taken from the token, that alone sees and writes it.

    Adds the column ``tenant_id`` (UUID, NOT NULL, indexed, its default the claim), the
    policy ``<table>_tenant`` and the right to SELECT, INSERT, UPDATE and DELETE.
    """

    #: The roles that policy and grants are for; set it on the class or on the base.
    __jwtrole_to__: ClassVar[Sequence[str]]

    #: The claim that names the tenant.
    __tenant_claim__: ClassVar[str] = "tenant_id"

    if TYPE_CHECKING:
        tenant_id: Mapped[uuid.UUID]
    else:
        # Without an annotation, which a mapped dataclass would take for a field of
        # its own and refuse: the mixin is no dataclass.
        @declared_attr
        def tenant_id(cls):  # noqa: ANN201, N805
            """Return the column of the tenant."""
            default = ClaimDefault(cls.__tenant_claim__, Uuid())
            return mapped_column(
                Uuid(), index=True, nullable=False, server_default=default
            )


def _mapped(mapper: Mapper[Any], cls: type[TenantMixin]) -> None:
    # Not in __table_args__, which a class of the user's replaces.
    table: Any = mapper.local_table
    name = short_name(f"{table.name}_tenant")
    known = declared(table.metadata).get(table)
    if known is not None and any(policy.name == name for policy in known.policies):
        return
    column, roles = _tenant_column(mapper, table), _roles(cls)
    own = Policy(
        name, using=column == claim(cls.__tenant_claim__, column.type), to=roles
    )
    declare(table, own, *(Grant(role, *PRIVILEGES) for role in roles))


def _tenant_column(mapper: Mapper[Any], table: Table) -> Column[Any]:
    found: Any = mapper.column_attrs.get("tenant_id")
    for column in found.columns if found is not None else ():
        if column.table is table:
            return column  # type: ignore[no-any-return]
    msg = (
        f"The table {table.name!r} has no tenant_id of its own, and row security looks "
        "at no other table's: give it the column, best as part of a composite foreign "
        "key to the parent, or map the class to its parent's table."
    )
    raise ConfigurationError(msg)


def _roles(cls: type[TenantMixin]) -> tuple[str, ...]:
    roles = getattr(cls, "__jwtrole_to__", None)
    if isinstance(roles, str) or not roles:
        msg = (
            f"{cls.__name__} does not say which roles its policy is for: set "
            "__jwtrole_to__ = ['member'] on it or on its base."
        )
        raise ConfigurationError(msg)
    return tuple(roles)


event.listen(TenantMixin, "after_mapper_constructed", _mapped, propagate=True)
