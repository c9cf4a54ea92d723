"""Django's ``createcachetable``, as the owner."""

from __future__ import annotations

from django.core.management.commands.createcachetable import Command as Stock

from django_jwtrole.management.owner import OwnerCommand


class Command(OwnerCommand, Stock):
    """Run ``createcachetable`` as the owner."""
