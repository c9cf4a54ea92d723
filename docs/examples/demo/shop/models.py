"""One table; what a member and a manager may do with it stands beside it."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models

from django_jwtrole import Grant
from django_jwtrole.models import TenantMixin


class Invoice(TenantMixin):
    """Be an invoice of one tenant: members read and add, managers also change."""

    tenant_privileges = ("SELECT", "INSERT")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    number = models.TextField()

    class Meta:
        """Give managers more than members."""

        constraints: ClassVar = [
            Grant(name="shop_invoice_change", to="manager", on=["UPDATE", "DELETE"])
        ]

    def __str__(self) -> str:
        return self.number
