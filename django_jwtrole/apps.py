"""The application: wires, decides nothing."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.core import checks

__all__ = ["JWTRoleConfig"]


class JWTRoleConfig(AppConfig):
    """Be the application ``django_jwtrole``."""

    name = "django_jwtrole"
    verbose_name: Any = "jwtrole"

    def ready(self) -> None:
        """Register the system checks."""
        # The registry must be full before they are imported.
        from django_jwtrole import checks as ours  # noqa: PLC0415
        from django_jwtrole import model_checks  # noqa: PLC0415

        checks.register(ours.check_settings, "jwtrole")
        checks.register(ours.check_databases, "jwtrole")
        checks.register(ours.check_middleware, "jwtrole")
        checks.register(ours.check_commands, "jwtrole")
        checks.register(model_checks.check_policies, checks.Tags.models)
        checks.register(model_checks.check_dependencies, checks.Tags.models)
