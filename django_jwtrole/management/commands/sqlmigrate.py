"""Django's ``sqlmigrate``, as the owner."""

from __future__ import annotations

from django.core.management.commands.sqlmigrate import Command as Stock

from django_jwtrole.management.owner import OwnerCommand


class Command(OwnerCommand, Stock):
    """Run ``sqlmigrate`` as the owner."""
