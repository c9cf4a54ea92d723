"""Django's ``sqlflush``, as the owner."""

from __future__ import annotations

from django.core.management.commands.sqlflush import Command as Stock

from django_jwtrole.management.owner import OwnerCommand


class Command(OwnerCommand, Stock):
    """Run ``sqlflush`` as the owner."""
