"""Django's ``changepassword``, on the alias of Django's own tables."""

from __future__ import annotations

from django.contrib.auth.management.commands.changepassword import Command as Stock

from django_jwtrole.management.owner import ContribCommand


class Command(ContribCommand, Stock):
    """Run ``changepassword`` on the alias of Django's own tables."""
