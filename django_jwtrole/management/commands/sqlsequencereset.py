"""Django's ``sqlsequencereset``, as the owner."""

from __future__ import annotations

from django.core.management.commands.sqlsequencereset import Command as Stock

from django_jwtrole.management.owner import OwnerCommand


class Command(OwnerCommand, Stock):
    """Run ``sqlsequencereset`` as the owner."""
