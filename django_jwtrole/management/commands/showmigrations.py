"""Django's ``showmigrations``, as the owner."""

from __future__ import annotations

from django.core.management.commands.showmigrations import Command as Stock

from django_jwtrole.management.owner import OwnerCommand


class Command(OwnerCommand, Stock):
    """Run ``showmigrations`` as the owner."""
