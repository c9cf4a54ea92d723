"""Django's ``squashmigrations``, as the login, which may see what is applied."""

from __future__ import annotations

from django.core.management.commands.squashmigrations import Command as Stock

from django_jwtrole.management.owner import LoginCommand


class Command(LoginCommand, Stock):
    """Run ``squashmigrations`` as the login, which may see what is applied."""
