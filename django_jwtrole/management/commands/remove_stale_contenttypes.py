"""Django's ``remove_stale_contenttypes``, on the alias of Django's own tables."""

from __future__ import annotations

from django.contrib.contenttypes.management.commands.remove_stale_contenttypes import (
    Command as Stock,
)

from django_jwtrole.management.owner import ContribCommand


class Command(ContribCommand, Stock):
    """Run ``remove_stale_contenttypes`` on the alias of Django's own tables."""
