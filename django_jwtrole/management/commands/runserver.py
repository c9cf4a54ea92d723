"""``runserver`` of Django or its staticfiles; migrations are checked as the login."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.apps import apps

from django_jwtrole.management.owner import ChecksMigrationsMixin

if TYPE_CHECKING or not apps.is_installed("django.contrib.staticfiles"):
    from django.core.management.commands.runserver import Command as Stock
else:
    from django.contrib.staticfiles.management.commands.runserver import (
        Command as Stock,
    )


class Command(ChecksMigrationsMixin, Stock):
    """Run ``runserver``."""
