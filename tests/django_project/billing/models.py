from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q

from django_jwtrole import Claim, Grant, Policy
from django_jwtrole.models import RowSecurityMixin, TenantMixin


class Invoice(TenantMixin):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    number = models.TextField()

    class Meta:
        db_table = "invoice"


class Note(RowSecurityMixin):
    author = models.UUIDField()
    body = models.TextField(db_column="text_body")
    pinned = models.BooleanField(default=False)

    class Meta:
        constraints = [
            Policy(
                name="note_own",
                using=Q(author=Claim("sub", models.UUIDField())),
                to=["member"],
            ),
            Grant(
                name="note_member",
                to="member",
                on=["SELECT", "INSERT", "UPDATE(body)"],
            ),
        ]
