"""The gate: an application begins only on a database that agrees with it.

Asked once for each engine, before its first statement: is the login one that may do
nothing by itself, is the schema ``jwtrole`` the one this release needs, does the
database trust what the configuration does?
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from jwtrole import install
from jwtrole.begin import Statement
from jwtrole.errors import ConfigurationError
from jwtrole.sync import declaration

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jwtrole.tokens import JWTRole

__all__ = ["Gate"]

_WHO = Statement(
    "SELECT session_user::text, pg_catalog.current_setting('role'), CASE"
    " WHEN r.rolsuper THEN 'is a superuser'"
    " WHEN r.rolbypassrls THEN 'works past row security (BYPASSRLS)'"
    " WHEN EXISTS (SELECT FROM pg_catalog.pg_roles AS o"
    f" WHERE o.rolname = '{install.OWNER_ROLE}'"
    " AND pg_catalog.pg_has_role(session_user, o.oid, 'MEMBER'))"
    " THEN 'may become the owner of the schema jwtrole' END,"
    " pg_catalog.to_regprocedure('jwtrole.version()') IS NOT NULL,"
    " pg_catalog.to_regprocedure('jwtrole.login(text)') IS NOT NULL"
    " FROM pg_catalog.pg_roles AS r WHERE r.rolname = session_user"
)
_SCHEMA = Statement(
    "SELECT jwtrole.version(), (SELECT pg_catalog.bool_and("
    "pg_catalog.has_function_privilege(session_user, p.oid, 'EXECUTE'))"
    " FROM pg_catalog.pg_proc AS p"
    " WHERE p.pronamespace = pg_catalog.to_regnamespace('jwtrole') AND p.proname IN"
    " ('login', 'resume', 'anonymous', 'differences'))"
)
# Policies of roles that nobody acts as or inherits are somebody else's.
_SETTINGS = (
    "SELECT pg_catalog.string_agg(pg_catalog.quote_ident(p.polname) || ' on '"
    " || p.polrelid::regclass::text, ', ' ORDER BY p.polrelid::regclass::text,"
    " p.polname) FROM pg_catalog.pg_policy AS p WHERE pg_catalog.strpos("
    "pg_catalog.concat(pg_catalog.pg_get_expr(p.polqual, p.polrelid),"
    " pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid)), 'current_setting(') > 0"
    " AND (0 = ANY (p.polroles) OR EXISTS (SELECT FROM pg_catalog.pg_roles AS r,"
    " pg_catalog.unnest(p.polroles) AS t (role) WHERE r.rolname IN (SELECT"
    " pg_catalog.jsonb_array_elements_text($1::text::jsonb))"
    " AND pg_catalog.pg_has_role(r.oid, t.role, 'USAGE')))"
)
_TEMPORARY = (
    "SELECT pg_catalog.quote_ident(pg_catalog.current_database()),"
    " (SELECT pg_catalog.string_agg(r.rolname, ', ' ORDER BY r.rolname)"
    " FROM pg_catalog.pg_roles AS r WHERE (r.rolname = session_user OR r.rolname IN"
    " (SELECT pg_catalog.jsonb_array_elements_text($1::text::jsonb)))"
    " AND pg_catalog.has_database_privilege("
    "r.oid, pg_catalog.current_database(), 'TEMPORARY'))"
)
_DIFFERENCES = "SELECT jwtrole.differences($1::text::jsonb)"


class Gate:
    """Let an application through to one database once they agree.

    Args:
        auth: What the application is configured with.
    """

    def __init__(self, auth: JWTRole) -> None:
        self.auth: JWTRole = auth
        #: Whether the database has agreed.
        self.passed: bool = False

    def ask(self, run: Callable[[Statement], Sequence[Any]]) -> None:
        """Ask the database, and pass or raise.

        Args:
            run: Sends a statement as the login itself and returns the one row.

        Raises:
            ConfigurationError: The login may do more than nothing, the schema is not
                the one that is needed, or the database trusts something else.
        """
        login, role, power, installed, verifies = run(_WHO)
        _check_login(login, role, power)
        if self.auth.trust == "database":
            _check_installed(login, installed=installed, verifies=verifies)
            _check_schema(login, *run(_SCHEMA))
            self._check_policies(*run(Statement(_SETTINGS, self._roles())))
            declared = Statement(_DIFFERENCES, (declaration(self.auth),))
            self._check_trusted(*run(declared))
            self._check_temporary(*run(Statement(_TEMPORARY, self._roles())))
        elif verifies:
            msg = (
                "The database verifies tokens itself and reads no claims that an "
                "application pushes: set trust='database', or run what `jwtrole sql "
                "--trust application --from VERSION` prints as the owner, VERSION "
                "being what jwtrole.version() answers."
            )
            raise ConfigurationError(msg)
        self.passed = True

    def _roles(self) -> tuple[str]:
        anonymous = self.auth.anonymous
        roles = [*self.auth.roles, *([] if anonymous is None else [anonymous.role])]
        return (json.dumps(roles),)

    def _check_policies(self, reading: str | None) -> None:
        if reading:
            msg = (
                f"These policies read a setting, which injected SQL can change: "
                f"{reading}. Write them with jwtrole.claim(), which only a verified "
                "token can change."
            )
            raise ConfigurationError(msg)

    def _check_trusted(self, differences: str | None) -> None:
        if differences:
            msg = (
                f"Configuration and database do not trust the same: {differences}. Run "
                "`jwtrole issuers sync` as the owner (`manage.py jwtrole issuers sync` "
                "with Django); in a copy of a database `jwtrole keys rotate-seal` "
                "before."
            )
            raise ConfigurationError(msg)

    def _check_temporary(self, database: str, roles: str | None) -> None:
        if roles:
            msg = (
                f"These roles may make temporary tables: {roles}. One that injected "
                "SQL leaves on a pooled connection stands before yours and takes the "
                "next identity's rows: run REVOKE TEMPORARY ON DATABASE "
                f"{database} FROM PUBLIC as the owner of the database."
            )
            raise ConfigurationError(msg)


def _check_login(login: str, role: str, power: str | None) -> None:
    if power:
        msg = (
            f"The application logs in as {login!r}, which {power}, so that no policy "
            "holds it: give it the login that `jwtrole bootstrap` makes."
        )
        raise ConfigurationError(msg)
    if role != "none":
        msg = (
            f"The session of {login!r} stood at the role {role!r} before anybody put "
            f"one on: find who set it, then run ALTER ROLE {login} RESET role."
        )
        raise ConfigurationError(msg)


def _check_installed(login: str, *, installed: bool, verifies: bool) -> None:
    if not verifies:
        is_there = "takes the application's word for it" if installed else "is missing"
        way = "--from 1 " if installed else ""
        msg = (
            f"trust is 'database' and the schema jwtrole of the database {is_there}: "
            "migrate it, or run what `jwtrole sql --trust database "
            f"{way}--login {login}` prints as the owner. trust='application' does "
            "without."
        )
        raise ConfigurationError(msg)


def _check_schema(login: str, version: int, granted: bool) -> None:  # noqa: FBT001
    needed = install.latest("database").version
    if version < needed:
        msg = (
            f"The schema jwtrole of the database has version {version} and this "
            f"release needs {needed}: migrate it, or run what `jwtrole sql --trust "
            f"database --from {version} --login {login}` prints as the owner."
        )
        raise ConfigurationError(msg)
    if not granted:
        msg = (
            f"The login {login!r} may not ask the database to verify a token: run what "
            f"`jwtrole sql --trust database --from {version} --login {login}` prints "
            "as the owner."
        )
        raise ConfigurationError(msg)
