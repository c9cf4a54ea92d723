"""Django's own tables on an alias of their own; everything is made by the owner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import connections

from django_jwtrole.conf import conf, is_protected
from django_jwtrole.postgresql.creation import nobody, restored_on

if TYPE_CHECKING:
    from django.db.models import Model

__all__ = ["CONTRIB_APPS", "ContribRouter"]

#: The applications whose models are read and written on ``JWTROLE["CONTRIB"]``.
CONTRIB_APPS = frozenset({"admin", "auth", "contenttypes", "sessions", "sites"})


class ContribRouter:
    """Keep sessions, users and the admin's log away from the fixed roles.

    Without it each role would need rights on ``auth_user`` and ``django_session``. Goes
    into ``DATABASE_ROUTERS``; does nothing where ``JWTROLE["CONTRIB"]`` is not set,
    except that nothing is migrated on a protected alias.
    """

    def db_for_read(self, model: type[Model], **hints: Any) -> str | None:
        """Return the alias of Django's own models."""
        if model._meta.app_label not in CONTRIB_APPS:
            return None
        return restored_on() or conf().contrib

    db_for_write = db_for_read

    def allow_relation(self, one: Model, other: Model, **hints: Any) -> bool | None:
        """Allow relations inside the one database that all aliases name."""
        names = {one._state.db, other._state.db} - {None}
        ours = all(_is_ours(str(name)) for name in names)
        return (
            True if ours and len({_place(str(name)) for name in names}) == 1 else None
        )

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        """Let tables be made by the owner alone."""
        if is_protected(db):
            # In a test database the login is the owner outside requests: flushing
            # and serialising work on the alias that the tests use.
            return nobody(connections[db].settings_dict) is not None
        return None if db != conf().contrib or db == conf().owner else False


def _is_ours(alias: str) -> bool:
    return alias in {conf().owner, conf().contrib} or is_protected(alias)


def _place(alias: str) -> tuple[Any, ...]:
    given = connections[alias].settings_dict
    return given["HOST"], given["PORT"], given["NAME"]
