"""Django's ``createsuperuser``, on the alias of Django's own tables."""

from __future__ import annotations

from django.contrib.auth.management.commands.createsuperuser import Command as Stock

from django_jwtrole.management.owner import ContribCommand


class Command(ContribCommand, Stock):
    """Run ``createsuperuser`` on the alias of Django's own tables."""
