"""Django's ``flush``, as the owner."""

from __future__ import annotations

from django.core.management.commands.flush import Command as Stock

from django_jwtrole.management.owner import OwnerCommand


class Command(OwnerCommand, Stock):
    """Run ``flush`` as the owner."""
