"""Install the schema ``jwtrole``."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from django.db import migrations

from django_jwtrole.operations import InstallJWTRole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.migrations.operations.base import Operation


class Migration(migrations.Migration):
    """Install the newest version for ``JWTROLE["TRUST"]``."""

    initial: ClassVar[bool | None] = True
    dependencies: ClassVar[Sequence[tuple[str, str]]] = ()
    operations: ClassVar[Sequence[Operation]] = (InstallJWTRole(),)
