"""Abstract models: inherit, and the table is protected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.apps import apps
from django.db import models
from django.db.models.signals import class_prepared

from django_jwtrole.composed import Opening, composed, field_of, is_claim
from django_jwtrole.expressions import Claim, ClaimDefault
from django_jwtrole.related import Related
from django_jwtrole.row_security import RowSecurityMixin
from jwtrole.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = [
    "MembershipMixin",
    "OwnerMixin",
    "PublicReadMixin",
    "RowSecurityMixin",
    "TenantMixin",
    "claim_field",
    "tenant_unique",
]

_ALL = ("SELECT", "INSERT", "UPDATE", "DELETE")


def claim_field(kind: type[models.Field[Any, Any]], claim: str, **options: Any) -> Any:
    """Return a field that the database fills from a claim: indexed, not editable.

    Args:
        kind: Its type, as ``models.BigIntegerField``.
        claim: The claim, the same as the mixin's ``tenant_claim`` or ``owner_claim``.
        options: What else the field is told, as ``db_column="org"``.
    """
    default = ClaimDefault(claim, kind())
    given = {"db_default": default, "db_index": True, "editable": False, **options}
    return kind(**given)


def tenant_unique(*fields: str, name: str) -> models.UniqueConstraint:
    """Return a constraint: no two rows of one tenant have the same in these fields.

    Unique over all tenants, a field would tell each of them what the others have.

    Args:
        fields: The fields beside ``tenant_id``.
        name: The constraint's name.
    """
    return models.UniqueConstraint(fields=["tenant_id", *fields], name=name)


class _Composed(RowSecurityMixin):
    """Be one of the mixins below, which know of each other."""

    class Meta:
        """Be no table."""

        abstract = True

    @classmethod
    def _row_security(cls) -> Iterator[models.BaseConstraint]:
        yield from super()._row_security()
        if _is_whole(cls):
            yield from composed(cls, _bound(cls), _openings(cls))


class TenantMixin(_Composed):
    """Let each tenant see and write its own rows alone.

    The tenant is a claim of the token. New rows get it from the database, so that
    ``objects.create()`` needs none. For another type or name of the column declare
    ``tenant_id`` anew, as ``claim_field(models.BigIntegerField, "tenant_id")``.

    With the other mixins it is a bound: each of their policies asks for the tenant too.
    Where ``OwnerMixin`` or ``MembershipMixin`` say whose a row is within the tenant, it
    has no policy and no grants of its own.

    Attributes:
        tenant_claim: The claim that holds the tenant.
        tenant_roles: The roles that get SELECT, INSERT, UPDATE and DELETE; where it is
            ``None``, all of ``JWTROLE["ROLES"]`` without the anonymous one.
        tenant_privileges: What these roles get.
    """

    tenant_claim: ClassVar[str] = "tenant_id"
    tenant_roles: ClassVar[Sequence[str] | None] = None
    tenant_privileges: ClassVar[Sequence[str]] = _ALL

    tenant_id: models.UUIDField[Any, Any] = models.UUIDField(
        db_default=ClaimDefault("tenant_id", models.UUIDField()),
        db_index=True,
        editable=False,
    )

    class Meta:
        """Be no table."""

        abstract = True


class OwnerMixin(_Composed):
    """Let whoever made a row see and write it, and nobody else.

    For another type or name of the column declare ``owner_id`` anew, as
    ``claim_field(models.TextField, "sub")``.

    Attributes:
        owner_claim: The claim that names the owner.
        owner_roles: As ``tenant_roles``.
        owner_privileges: What these roles get.
    """

    owner_claim: ClassVar[str] = "sub"
    owner_roles: ClassVar[Sequence[str] | None] = None
    owner_privileges: ClassVar[Sequence[str]] = _ALL

    owner_id: models.UUIDField[Any, Any] = models.UUIDField(
        db_default=ClaimDefault("sub", models.UUIDField()),
        db_index=True,
        editable=False,
    )

    class Meta:
        """Be no table."""

        abstract = True


class MembershipMixin(_Composed):
    """Let the members of a row's organisation see and write it.

    The acting role needs SELECT on the memberships, and their table a policy that shows
    one's own. Whoever may write there decides who is let in here. For another type or
    name of the column declare ``organisation_id`` anew.

    Attributes:
        membership_model: The model of the memberships, as ``"app.Model"``.
        membership_organisation: Its field with the organisation.
        membership_member: Its field with the member.
        membership_claim: The claim that the member is compared with.
        membership_claim_type: The type of both.
        membership_roles: As ``tenant_roles``.
        membership_privileges: What these roles get.
    """

    membership_model: ClassVar[str] = ""
    membership_organisation: ClassVar[str] = "organisation_id"
    membership_member: ClassVar[str] = "member_id"
    membership_claim: ClassVar[str] = "sub"
    membership_claim_type: ClassVar[type[models.Field[Any, Any]]] = models.UUIDField
    membership_roles: ClassVar[Sequence[str] | None] = None
    membership_privileges: ClassVar[Sequence[str]] = _ALL

    # No claim says which of several it is.
    organisation_id: models.UUIDField[Any, Any] = models.UUIDField(db_index=True)

    class Meta:
        """Be no table."""

        abstract = True


class PublicReadMixin(_Composed):
    """Let everybody of some roles read every row; with ``TenantMixin``, the tenant's.

    Who writes is for the other mixins to say, and for policies.

    Attributes:
        public_read_roles: The roles that get SELECT; where it is ``None``, all of
            ``JWTROLE["ROLES"]`` without the anonymous one, which must be named.
    """

    public_read_roles: ClassVar[Sequence[str] | None] = None

    class Meta:
        """Be no table."""

        abstract = True


_COLUMNS: dict[Any, str] = {
    TenantMixin: "tenant_id",
    OwnerMixin: "owner_id",
    MembershipMixin: "organisation_id",
}


def _is_whole(model: type[_Composed]) -> bool:
    """Tell whether all that the policies ask for stands in the model's own table."""
    needed = [name for mixin, name in _COLUMNS.items() if issubclass(model, mixin)]
    if any(field_of(model, name) not in model._meta.local_fields for name in needed):
        return False
    inherited = any(issubclass(one, PublicReadMixin) for one in model._meta.parents)
    return not inherited or any(
        issubclass(base, PublicReadMixin) and base._meta.abstract
        for base in model.__bases__
    )


def _bound(model: type[_Composed]) -> models.Q:
    """Return what each policy asks for beside its own condition."""
    if not issubclass(model, TenantMixin):
        return models.Q()
    return is_claim(model, "tenant_id", model.tenant_claim, TenantMixin.tenant_claim)


def _openings(model: type[_Composed]) -> Iterator[Opening]:
    """Yield what opens rows of a model."""
    if issubclass(model, TenantMixin) and not issubclass(
        model, OwnerMixin | MembershipMixin
    ):
        roles, on = model.tenant_roles, model.tenant_privileges
        yield Opening("tenant", models.Q(), roles, on)
    if issubclass(model, OwnerMixin):
        own = is_claim(model, "owner_id", model.owner_claim, OwnerMixin.owner_claim)
        yield Opening("own", own, model.owner_roles, model.owner_privileges)
    if issubclass(model, MembershipMixin):
        roles, on = model.membership_roles, model.membership_privileges
        yield Opening("membership", _membership(model), roles, on)
    if issubclass(model, PublicReadMixin):
        roles, on = model.public_read_roles, ("SELECT",)
        yield Opening("public_read", models.Q(), roles, on, command="SELECT")


def _membership(model: type[MembershipMixin]) -> models.Q:
    if not model.membership_model:
        msg = (
            f"{model._meta.label} does not say where memberships are: set "
            "membership_model = 'app.Model'."
        )
        raise ConfigurationError(msg)
    claim = Claim(model.membership_claim, model.membership_claim_type())
    condition = {
        model.membership_organisation: models.OuterRef("organisation_id"),
        model.membership_member: claim,
    }
    return models.Q(Related(model.membership_model, models.Q(**condition)))


def _require_same(proxy: type[models.Model]) -> None:
    """Refuse a proxy with a mixin of its own, which nothing would come of."""
    concrete: Any = proxy._meta.concrete_model
    for mixin in (PublicReadMixin, RowSecurityMixin):
        if issubclass(proxy, mixin) and not issubclass(concrete, mixin):
            msg = (
                f"{proxy._meta.label} is a proxy and has no table to protect: put "
                f"{mixin.__name__} on {concrete._meta.label}."
            )
            raise ConfigurationError(msg)


def _inject(sender: type[models.Model], **_: object) -> None:
    options = sender._meta
    if not issubclass(sender, RowSecurityMixin) or options.abstract:
        return
    if options.proxy:
        _require_same(sender)
        return
    if options.apps is not apps:
        # A migration's model: what it has stands in the migration.
        return
    have = {constraint.name for constraint in options.constraints}
    new = [c for c in sender._row_security() if c.name not in have]
    options.constraints = [*new, *options.constraints]
    # The migrations' state is made from what the class was declared with.
    options.original_attrs["constraints"] = options.constraints


class_prepared.connect(_inject, dispatch_uid="jwtrole.models")
