"""Alembic: policies, row security and grants in revisions, found by autogenerate.

In ``env.py``::

    from sqlalchemy_jwtrole.alembic import register

    register()
"""

from __future__ import annotations

import functools

from alembic.runtime.plugins import Plugin
from alembic.util import DispatchPriority

from sqlalchemy_jwtrole.alembic import operations as operations  # registers them
from sqlalchemy_jwtrole.alembic.compare import compare
from sqlalchemy_jwtrole.alembic.defaults import compare_default

__all__ = ["register"]


@functools.cache
def register() -> None:
    """Have autogenerate compare policies, row security and grants; once is enough."""
    # Under this name Alembic's default autogenerate_plugins enables it; by any other
    # it would be set up and never run, and tables would come without policies.
    plugin = Plugin("alembic.autogenerate.jwtrole")
    plugin.add_autogenerate_comparator(
        compare, "schema", "jwtrole", qualifier="postgresql",
        priority=DispatchPriority.LAST,
    )  # fmt: skip
    plugin.add_autogenerate_comparator(
        compare_default, "column", "server_default", qualifier="postgresql"
    )
