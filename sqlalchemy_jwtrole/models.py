"""Mixins for tables whose rows belong to somebody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import Table, UniqueConstraint, Uuid, event
from sqlalchemy.ext.declarative import AbstractConcreteBase
from sqlalchemy.orm import declared_attr, mapped_column
from sqlalchemy.types import to_instance

from jwtrole.roles import PRIVILEGES
from sqlalchemy_jwtrole import composed
from sqlalchemy_jwtrole.composed import Opening, is_claim, membership
from sqlalchemy_jwtrole.expressions import ClaimDefault

if TYPE_CHECKING:
    import uuid
    from collections.abc import Iterator, Sequence

    from sqlalchemy.orm import Mapped, Mapper

__all__ = [
    "MembershipMixin",
    "OwnerMixin",
    "PublicReadMixin",
    "TenantMixin",
    "tenant_unique",
]


def tenant_unique(
    *columns: str, name: str | None = None, tenant: str = "tenant_id"
) -> UniqueConstraint:
    """Return a constraint: no two rows of one tenant have the same in these columns.

    Unique over all tenants, a column would tell each of them what the others have.

    Args:
        columns: The columns beside the tenant's.
        name: The constraint's name.
        tenant: The column of the tenant, where it has another name.
    """
    return UniqueConstraint(tenant, *columns, name=name)


class _Composed:
    """Be one of the mixins below, which know of each other."""

    #: The roles that policy and grants are for; set it on the class or on the base.
    __jwtrole_to__: ClassVar[Sequence[str]]


def _filled(column: str, type_: Any, claim: str) -> Any:
    found = to_instance(type_)
    default = ClaimDefault(claim, found)
    return mapped_column(
        column, found, index=True, nullable=False, server_default=default
    )


class TenantMixin(_Composed):
    """Give each row a tenant, taken from the token, that alone sees and writes it.

    Adds the column ``tenant_id`` (UUID, NOT NULL, indexed, its default the claim), the
    policy ``<table>_tenant`` and the right to SELECT, INSERT, UPDATE and DELETE.

    With the other mixins it is a bound: each of their policies asks for the tenant too.
    Where ``OwnerMixin`` or ``MembershipMixin`` say whose a row is within the tenant, it
    has no policy and no grants of its own.
    """

    #: The claim that names the tenant.
    __tenant_claim__: ClassVar[str] = "tenant_id"
    #: The column's name, whatever the attribute is called, and its type.
    __tenant_column__: ClassVar[str] = "tenant_id"
    __tenant_type__: ClassVar[Any] = Uuid
    #: The roles; where it is ``None``, those of ``__jwtrole_to__``.
    __tenant_to__: ClassVar[Sequence[str] | None] = None
    #: What these roles get.
    __tenant_privileges__: ClassVar[Sequence[str]] = PRIVILEGES

    if TYPE_CHECKING:
        tenant_id: Mapped[uuid.UUID]
    else:
        # Without an annotation, which a mapped dataclass would take for a field of
        # its own and refuse: the mixin is no dataclass.
        @declared_attr
        def tenant_id(cls):  # noqa: ANN201, N805
            """Return the column of the tenant."""
            name, type_ = cls.__tenant_column__, cls.__tenant_type__
            return _filled(name, type_, cls.__tenant_claim__)


class OwnerMixin(_Composed):
    """Let whoever made a row see and write it, and nobody else.

    Adds the column ``owner_id``, as ``TenantMixin`` does its own, and the policy
    ``<table>_own``.
    """

    #: The claim that names the owner.
    __owner_claim__: ClassVar[str] = "sub"
    #: The column's name, whatever the attribute is called, and its type.
    __owner_column__: ClassVar[str] = "owner_id"
    __owner_type__: ClassVar[Any] = Uuid
    #: The roles; where it is ``None``, those of ``__jwtrole_to__``.
    __owner_to__: ClassVar[Sequence[str] | None] = None
    #: What these roles get.
    __owner_privileges__: ClassVar[Sequence[str]] = PRIVILEGES

    if TYPE_CHECKING:
        owner_id: Mapped[uuid.UUID]
    else:

        @declared_attr
        def owner_id(cls):  # noqa: ANN201, N805
            """Return the column of the owner."""
            name, type_ = cls.__owner_column__, cls.__owner_type__
            return _filled(name, type_, cls.__owner_claim__)


class MembershipMixin(_Composed):
    """Let the members of a row's organisation see and write it.

    Adds the column ``organisation_id`` (UUID, NOT NULL, indexed) and the policy
    ``<table>_membership``. The acting role needs SELECT on the memberships, and their
    table a policy that shows one's own. Whoever may write there decides who is let in
    here.
    """

    #: The memberships: a mapped class, a table, or a table's name.
    __membership__: ClassVar[Any] = None
    #: Their columns with the organisation and with the member.
    __membership_organisation__: ClassVar[str] = "organisation_id"
    __membership_member__: ClassVar[str] = "member_id"
    #: The claim that the member is compared with.
    __membership_claim__: ClassVar[str] = "sub"
    #: The column's name, whatever the attribute is called, and its type.
    __organisation_column__: ClassVar[str] = "organisation_id"
    __organisation_type__: ClassVar[Any] = Uuid
    #: The roles; where it is ``None``, those of ``__jwtrole_to__``.
    __membership_to__: ClassVar[Sequence[str] | None] = None
    #: What these roles get.
    __membership_privileges__: ClassVar[Sequence[str]] = PRIVILEGES

    if TYPE_CHECKING:
        organisation_id: Mapped[uuid.UUID]
    else:

        @declared_attr
        def organisation_id(cls):  # noqa: ANN201, N805
            """Return the column of the organisation, which no claim says."""
            name, type_ = cls.__organisation_column__, cls.__organisation_type__
            return mapped_column(name, type_, index=True, nullable=False)


class PublicReadMixin(_Composed):
    """Let everybody of some roles read every row; with ``TenantMixin``, the tenant's.

    Adds the policy ``<table>_public_read``. Who writes is for the other mixins to say,
    and for policies.
    """

    #: The roles that get SELECT; where it is ``None``, those of ``__jwtrole_to__``.
    __public_read_to__: ClassVar[Sequence[str] | None] = None


def _mapped(mapper: Mapper[Any], cls: type[_Composed]) -> None:
    # Not in __table_args__, which a class of the user's replaces.
    table: Any = mapper.local_table
    if issubclass(cls, AbstractConcreteBase) and not isinstance(table, Table):
        # The union of its children's tables, each of which has its own policies.
        return
    composed.require_table(mapper)
    composed.require_same(mapper, table, _mixins)
    composed.require_said_again(mapper, PublicReadMixin)
    bound = None
    if issubclass(cls, TenantMixin):
        bound = is_claim(mapper, table, "tenant_id", cls.__tenant_claim__)
    composed.declare_openings(cls, table, bound, list(_openings(mapper, table, cls)))


def _mixins(cls: type) -> frozenset[type]:
    every = (TenantMixin, OwnerMixin, MembershipMixin, PublicReadMixin)
    return frozenset(mixin for mixin in every if issubclass(cls, mixin))


def _openings(
    mapper: Mapper[Any], table: Table, cls: type[_Composed]
) -> Iterator[Opening]:
    """Yield what opens rows of a class."""
    if issubclass(cls, TenantMixin) and not issubclass(
        cls, OwnerMixin | MembershipMixin
    ):
        yield Opening("tenant", None, cls.__tenant_to__, cls.__tenant_privileges__)
    if issubclass(cls, OwnerMixin):
        own = is_claim(mapper, table, "owner_id", cls.__owner_claim__)
        yield Opening("own", own, cls.__owner_to__, cls.__owner_privileges__)
    if issubclass(cls, MembershipMixin):
        roles, on = cls.__membership_to__, cls.__membership_privileges__
        yield Opening("membership", membership(mapper, table, cls), roles, on)
    if issubclass(cls, PublicReadMixin):
        roles = cls.__public_read_to__
        yield Opening("public_read", None, roles, ("SELECT",), command="SELECT")


event.listen(_Composed, "after_mapper_constructed", _mapped, propagate=True)
