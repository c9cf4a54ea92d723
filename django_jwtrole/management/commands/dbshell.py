"""Django's ``dbshell``, as the owner."""

from __future__ import annotations

from django.core.management.commands.dbshell import Command as Stock

from django_jwtrole.management.owner import OwnerCommand


class Command(OwnerCommand, Stock):
    """Run ``dbshell`` as the owner."""
