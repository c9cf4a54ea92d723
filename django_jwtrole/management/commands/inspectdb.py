"""Django's ``inspectdb``, as the owner."""

from __future__ import annotations

from django.core.management.commands.inspectdb import Command as Stock

from django_jwtrole.management.owner import OwnerCommand


class Command(OwnerCommand, Stock):
    """Run ``inspectdb`` as the owner."""
