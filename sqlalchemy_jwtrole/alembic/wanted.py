"""What ``env.py`` has said: one for the process, as Alembic's plugins are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jwtrole import install

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jwtrole.install import Release

__all__ = ["WANTED", "want"]


class _Wanted:
    """Be the version of the schema, the logins, and roles beside those declared on."""

    def __init__(self) -> None:
        self.release: Release = install.latest()
        self.logins: tuple[str, ...] = ()
        self.roles: frozenset[str] = frozenset()


WANTED: _Wanted = _Wanted()


def want(trust: str, logins: tuple[str, ...], roles: Iterable[str] = ()) -> None:
    """Say which mode of trust the database is to have, for whom, and the roles.

    Raises:
        ConfigurationError: There is no such mode.
    """
    WANTED.release, WANTED.logins = install.latest(trust), logins
    WANTED.roles = frozenset(roles)
