"""Install the schema ``jwtrole``."""

from __future__ import annotations

from django.db import migrations

from django_jwtrole.operations import InstallJWTRole


class Migration(migrations.Migration):
    """Install version 1."""

    initial = True
    dependencies = ()
    operations = (InstallJWTRole(version=1),)
