"""Django's PostgreSQL engine, each statement run as whoever is acting.

To put it on another engine, such as PostGIS::

    # myproject/postgis/base.py        DATABASES: "ENGINE": "myproject.postgis"
    from django.contrib.gis.db.backends.postgis import base
    from django_jwtrole.postgresql.base import JWTRoleDatabaseMixin


    class DatabaseWrapper(JWTRoleDatabaseMixin, base.DatabaseWrapper):
        pass
"""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import psycopg
from django.db.backends.base.base import NO_DB_ALIAS
from django.db.backends.postgresql import base as stock
from django.db.backends.postgresql.psycopg_any import register_tzloader
from psycopg.pq import Format, TransactionStatus
from psycopg.rows import tuple_row

from django_jwtrole.conf import auth, conf
from django_jwtrole.postgresql.creation import JWTRoleDatabaseCreation, nobody
from django_jwtrole.postgresql.schema import editor_class
from jwtrole.begin import wanted
from jwtrole.context import acting
from jwtrole.drivers.psycopg import (
    Carrier,
    attach,
    detach,
    fused,
    require_pipeline,
)
from jwtrole.gate import Gate
from jwtrole.tickets import Tickets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jwtrole.begin import Nobody, Statement
    from jwtrole.identity import Identity
    from jwtrole.tokens import JWTRole

    class _Wrapper(stock.DatabaseWrapper):
        # Not in the stubs.
        def _close(self) -> None: ...
        def _commit(self) -> None: ...
        def _rollback(self) -> None: ...
        def _set_autocommit(self, autocommit: bool) -> None: ...  # noqa: FBT001

else:
    _Wrapper = object

__all__ = ["DatabaseWrapper", "JWTRoleDatabaseMixin", "bare_login"]

# By what names the database: host, port, name, or a service that stands for them.
_tickets: dict[tuple[Any, ...], Tickets] = {}
_gates: dict[tuple[Any, ...], Gate] = {}

_bare: ContextVar[bool] = ContextVar("jwtrole_bare_login", default=False)


@contextlib.contextmanager
def bare_login() -> Iterator[None]:
    """Run statements as the login itself, which may read the list of migrations.

    For commands; the login has no other right.
    """
    token = _bare.set(True)
    try:
        yield
    finally:
        _bare.reset(token)


class JWTRoleDatabaseMixin(_Wrapper):
    """Run each statement as whoever is acting; goes before a PostgreSQL engine.

    The aliases ``JWTROLE["OWNER"]`` and ``JWTROLE["CONTRIB"]`` run as their own login.
    On the others BEGIN, the preamble and the first statement travel together, outside
    ``atomic()`` as one implicit transaction, and nothing is sent when nobody acts.
    """

    creation_class: type[JWTRoleDatabaseCreation] = JWTRoleDatabaseCreation
    #: Tells our engines from others, however they are stacked.
    jwtrole_engine = True
    _carrier: Carrier | None = None

    @property
    def is_protected(self) -> bool:
        """Tell whether statements run as whoever is acting."""
        return self.alias != NO_DB_ALIAS and conf().is_protected(self.alias)

    def jwtrole_auth(self) -> JWTRole:
        """Return the roles this alias runs as; those of ``JWTROLE``."""
        return auth()

    def _want(self) -> Identity | Nobody | None:
        outside = nobody(self.settings_dict)
        if outside is None and _bare.get():
            return None
        anonymous = self.jwtrole_auth().anonymous
        who = wanted(acting(), anonymous=anonymous, outside=outside)
        if outside is None:
            self._pass_gate()
        return who

    def _place(self) -> tuple[Any, ...]:
        given = self.settings_dict
        service = given["OPTIONS"].get("service")
        return given["HOST"], given["PORT"], given["NAME"], service

    # Connections come and go with requests and threads; what is known of the database
    # is the process's.

    def _tickets(self) -> Tickets | None:
        if self.jwtrole_auth().trust != "database":
            return None
        return _tickets.setdefault(self._place(), Tickets())

    def _pass_gate(self) -> None:
        """Ask the database, once, whether it agrees with the configuration."""
        place = (*self._place(), self.settings_dict["USER"])
        gate, auth = _gates.get(place), self.jwtrole_auth()
        if gate is None or gate.auth is not auth:
            gate = _gates[place] = Gate(auth)
        if not gate.passed:
            gate.ask(self._ask)

    def _ask(self, statement: Statement) -> Any:
        # psycopg's own cursor: ours would ask who is wanted.
        with psycopg.Cursor(self.connection, row_factory=tuple_row) as cursor:
            text = statement.with_percent().encode()
            cursor.execute(text, statement.parameters, prepare=False)
            return cursor.fetchone()

    @contextlib.contextmanager
    def _unhooked(self) -> Iterator[None]:
        carrier = self._carrier
        with contextlib.nullcontext() if carrier is None else carrier.suspend():
            yield

    def get_connection_params(self) -> dict[str, Any]:
        """Return psycopg's parameters with cursors that put identities on."""
        params = super().get_connection_params()
        if self.is_protected:
            params["cursor_factory"] = fused(params["cursor_factory"])
        return params

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Return a connection that waits for :meth:`connect` to end."""
        if self.is_protected:
            require_pipeline()
        connection = super().get_new_connection(conn_params)
        if self.is_protected:
            self._carrier = Carrier(
                self._want,
                self.jwtrole_auth().app_name,
                may_change=nobody(self.settings_dict) is not None,
                tickets=self._tickets(),
                settings=self.jwtrole_auth().settings,
            )
            attach(connection, self._carrier)
            if self._carrier.tickets is not None:
                # Injected SQL could put another statement in the place of one that the
                # driver keeps, and would so run as the connection's next identity.
                connection.prepare_threshold = None
        return connection

    def connect(self) -> None:
        """Connect; time zone, encoding and signals never run as anybody."""
        # Suspended from the start: a new one is made on the way.
        super().connect()
        if self._carrier is not None:
            self._carrier.suspended = False

    def ensure_timezone(self) -> bool:
        """Set the session's time zone as the login itself."""
        with self._unhooked():
            return super().ensure_timezone()

    def is_usable(self) -> bool:
        """Tell whether the connection works, as the login itself."""
        with self._unhooked():
            return super().is_usable()

    def _commit(self) -> None:
        super()._commit()
        self._forget()

    def _rollback(self) -> None:
        super()._rollback()
        self._forget()

    def close_if_unusable_or_obsolete(self) -> None:
        """Close a connection that is too old or broken, as Django does per request."""
        # psycopg's own transaction() ends without telling; a request ends here.
        self._forget()
        super().close_if_unusable_or_obsolete()

    def _forget(self) -> None:
        if self._carrier is not None and self.connection is not None:
            self._carrier.forget(self.connection)

    def _close(self) -> None:
        if self._carrier is not None and self.connection is not None:
            # A pool may check the connection and hand it to another thread.
            detach(self.connection)
        self._carrier = None
        super()._close()

    def _set_autocommit(self, autocommit: bool) -> None:  # noqa: FBT001  Django's
        carrier = self._carrier
        if (
            carrier is None
            or self.connection.pgconn.transaction_status != TransactionStatus.IDLE
        ):
            # Outside idle psycopg refuses, with the error everybody knows.
            super()._set_autocommit(autocommit)
            return
        # psycopg stays in autocommit: BEGIN travels with the first statement.
        carrier.explicit = not autocommit

    def schema_editor(self, *args: Any, **options: Any) -> Any:
        """Return the engine's editor, whichever it is by now, with ours before it."""
        return editor_class(self.SchemaEditorClass)(self, *args, **options)

    def create_cursor(self, name: str | None = None) -> Any:
        """Return a cursor; a named one fetches as whoever opened it."""
        if name is None or self._carrier is None:
            return super().create_cursor(name)
        binding = self.settings_dict["OPTIONS"].get("server_side_binding") is True
        factory: Any = psycopg.ServerCursor if binding else stock.ServerSideCursor
        cursor = fused(factory)(
            self.connection,
            name=name,
            scrollable=False,
            # psycopg's own flag is always set here; Django's tells.
            withhold=self.autocommit,
        )
        loader = self.connection.adapters.get_loader(stock.TIMESTAMPTZ_OID, Format.TEXT)
        if self.timezone != loader.timezone:
            register_tzloader(self.timezone, cursor)
        return cursor


class DatabaseWrapper(JWTRoleDatabaseMixin, stock.DatabaseWrapper):
    """Be Django's PostgreSQL engine with the mixin."""
