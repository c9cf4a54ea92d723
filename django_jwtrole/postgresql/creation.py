"""Test databases: made by the owner, used by the test role.

Owner and protected aliases name one database. The owner's login makes, migrates,
clones and drops it. Tests log in as ``DATABASES[alias]["TEST"]["USER"]``, which may
become the owner and the fixed roles, so that fixtures (outside any request: the owner)
and requests (inside: whoever is acting) share one connection and one transaction.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.db.backends.postgresql.creation import DatabaseCreation

from django_jwtrole.conf import conf
from django_jwtrole.throwaway import trust
from jwtrole.begin import Nobody

__all__ = ["JWTRoleDatabaseCreation", "is_forced", "nobody", "restored_on"]

# Stands in DATABASES[alias]["TEST"] while tests run, so that each thread's connection
# and each worker of the parallel runner finds it.
_NOBODY = "JWTROLE_NOBODY"
_KEPT = "JWTROLE_KEPT"
_UNFORCED = "JWTROLE_UNFORCED"

_restored_on: ContextVar[str | None] = ContextVar("jwtrole_restored_on", default=None)

_FORCED = """
SELECT pg_catalog.format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY', c.oid::regclass)
FROM pg_catalog.pg_class AS c
WHERE c.relforcerowsecurity
  AND c.relowner = (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = current_user)
"""


def nobody(settings_dict: dict[str, Any]) -> Nobody | None:
    """Return who runs what stands outside any request, in a test database alone."""
    role = settings_dict["TEST"].get(_NOBODY)
    return None if role is None else Nobody(role)


def is_forced(settings_dict: dict[str, Any]) -> bool:
    """Return whether row security holds for the owner: not in a test database."""
    given = settings_dict["TEST"]
    return not given.get(_UNFORCED) and nobody(settings_dict) is None


def restored_on() -> str | None:
    """Return the alias that a test database is being restored on, or ``None``."""
    return _restored_on.get()


class JWTRoleDatabaseCreation(DatabaseCreation):
    """Make the test database through the owner's alias."""

    # Our engine's wrapper, or one that stacks on its mixin.
    connection: Any

    @property
    def _owner(self) -> JWTRoleDatabaseCreation | None:
        """Return the owner's creation where this alias is not the owner's."""
        if self.connection.alias == conf().owner:
            return None
        owner = connections[conf().owner].creation
        if not isinstance(owner, JWTRoleDatabaseCreation):
            msg = (
                f"DATABASES[{conf().owner!r}]['ENGINE'] is another engine than "
                f"DATABASES[{self.connection.alias!r}]['ENGINE']: give both the same."
            )
            raise ImproperlyConfigured(msg)
        return owner

    def create_test_db(self, *args: Any, **options: Any) -> str:
        """Make and migrate the test database as the owner."""
        owner = self._owner
        if owner is not None:
            if self.connection.is_protected:
                # Before anything is made.
                self._test_user()
            name: str = owner.create_test_db(*args, **options)
            self.set_as_test_mirror(owner.connection.settings_dict)
            self._name(name)
            return name
        # From the start: a database that was kept is without FORCE already.
        self.connection.settings_dict["TEST"][_UNFORCED] = True
        name = super().create_test_db(*args, **options)
        self._unforce()
        trust(self.connection, self._test_users())
        return name

    def _test_users(self) -> list[str]:
        # By server: the aliases learn the name of the test database only later.
        server = _place(self.connection.settings_dict)[:2]
        every = (connections[alias].settings_dict for alias in connections)
        return [
            given["TEST"]["USER"]
            for given in every
            if _place(given)[:2] == server and given["TEST"].get("USER")
        ]

    def _unforce(self) -> None:
        # FORCE makes the owner a stranger to its own rows. Tests write fixtures as the
        # owner, in the very transaction that requests then read, so that in the test
        # database, and there alone, the owner is let in. Everybody else is not.
        with self.connection.cursor() as cursor:
            cursor.execute(_FORCED)
            for (statement,) in cursor.fetchall():
                cursor.execute(statement)

    def set_as_test_mirror(self, primary_settings_dict: dict[str, Any]) -> None:
        """Use the test database of another alias, as the test role."""
        super().set_as_test_mirror(primary_settings_dict)
        given = self.connection.settings_dict
        given["TEST"].setdefault(_KEPT, (given["USER"], given["PASSWORD"]))
        self.connection.close()
        self.connection.close_pool()
        if self.connection.is_protected:
            given["TEST"][_NOBODY] = connections[conf().owner].settings_dict["USER"]
            given["USER"], given["PASSWORD"] = self._test_user()

    def _test_user(self) -> tuple[str, str]:
        alias, given = self.connection.alias, self.connection.settings_dict
        user = given["TEST"].get("USER")
        if not user:
            msg = (
                f"DATABASES[{alias!r}]['TEST']['USER'] is missing: name the login that "
                "tests use. It may become the owner and the fixed roles and connects "
                "to test databases only; `jwtrole bootstrap --test` makes it."
            )
            raise ImproperlyConfigured(msg)
        return user, given["TEST"].get("PASSWORD") or given["PASSWORD"]

    def _leave_tests(self) -> None:
        given = self.connection.settings_dict
        self.connection.close()
        self.connection.close_pool()
        given["TEST"].pop(_NOBODY, None)
        given["USER"], given["PASSWORD"] = given["TEST"].pop(_KEPT)

    def clone_test_db(self, *args: Any, **options: Any) -> None:
        """Clone the test database as the owner, with nobody connected to it."""
        owner = self._owner
        if owner is None:
            super().clone_test_db(*args, **options)
            self._trust_in_clone(*args, **options)
            return
        self.connection.close()
        self.connection.close_pool()
        owner.clone_test_db(*args, **options)

    def _trust_in_clone(self, suffix: str, *_: Any, **__: Any) -> None:
        given = self.get_test_db_clone_settings(suffix)
        clone = type(self.connection)(given, alias=self.connection.alias)
        try:
            trust(clone, self._test_users())
        finally:
            clone.close()

    def setup_worker_connection(self, _worker_id: int) -> None:
        """Use a clone; where the process is a new one, its issuer is another."""
        super().setup_worker_connection(_worker_id)
        if self._owner is None:
            trust(self.connection, self._test_users())

    def destroy_test_db(
        self,
        old_database_name: str | None = None,
        verbosity: int = 1,
        keepdb: bool = False,  # noqa: FBT001, FBT002  Django's signature
        suffix: str | None = None,
    ) -> None:
        """Drop the test database as the owner; the alias is itself again."""
        owner = self._owner
        if owner is None:
            self._close_others()
            super().destroy_test_db(old_database_name, verbosity, keepdb, suffix)
            if old_database_name is not None:
                self.connection.settings_dict["TEST"].pop(_UNFORCED, None)
            return
        self.connection.close()
        owner.destroy_test_db(old_database_name, verbosity, keepdb, suffix)
        if old_database_name is not None:
            self._leave_tests()
            self._name(old_database_name)

    def serialize_db_to_string(self) -> str:
        """Return all rows, for each alias of the test database."""
        data: str = super().serialize_db_to_string()
        # Django keeps it on one alias. Flushed through another, the database would get
        # new content types, and the kept ones could not come back.
        for wrapper in self._sharing():
            wrapper._test_serialized_contents = data
        return data

    def deserialize_db_from_string(self, data: str) -> None:
        """Restore all rows in one transaction, whatever the routers say of them."""
        token = _restored_on.set(self.connection.alias)
        try:
            super().deserialize_db_from_string(data)
        finally:
            _restored_on.reset(token)

    def _close_others(self) -> None:
        # Aliases that share the database would keep it from being dropped.
        for wrapper in self._sharing():
            wrapper.close()
            wrapper.close_pool()

    def _sharing(self) -> list[Any]:
        """Return the wrappers of our engine that name the same database."""
        place = _place(self.connection.settings_dict)
        return [
            wrapper
            for wrapper in map(connections.__getitem__, connections)
            if isinstance(wrapper.creation, JWTRoleDatabaseCreation)
            and _place(wrapper.settings_dict) == place
        ]

    def _name(self, name: str) -> None:
        given: Any = settings.DATABASES[self.connection.alias]
        given["NAME"] = self.connection.settings_dict["NAME"] = name


def _place(given: dict[str, Any]) -> tuple[Any, ...]:
    return given["HOST"], given["PORT"], given["NAME"]
