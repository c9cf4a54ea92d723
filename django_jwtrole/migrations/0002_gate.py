"""Let an application compare its configuration with what the database trusts."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from django.db import migrations

from django_jwtrole.operations import UpgradeJWTRole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.migrations.operations.base import Operation


class Migration(migrations.Migration):
    """Bring version 2 to version 3, which new databases have from the start."""

    dependencies: ClassVar[Sequence[tuple[str, str]]] = [
        ("django_jwtrole", "0001_install")
    ]
    operations: ClassVar[Sequence[Operation]] = (UpgradeJWTRole(3),)
