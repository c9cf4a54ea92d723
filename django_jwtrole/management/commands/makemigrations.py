"""Django's ``makemigrations``, as the login, which may see what is applied."""

from __future__ import annotations

from django.core.management.commands.makemigrations import Command as Stock

from django_jwtrole.management.owner import LoginCommand


class Command(LoginCommand, Stock):
    """Run ``makemigrations`` as the login, which may see what is applied."""
