"""Who may do what: grants, and the roles that a bootstrap makes once.

Roles belong to the whole cluster: they are made and granted by the bootstrap alone,
by somebody with CREATEROLE, and never dropped here.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jwtrole.errors import ConfigurationError
from jwtrole.fixed_roles import allowed_role, every_role, name_of
from jwtrole.install import OWNER_ROLE
from jwtrole.memberships import block, inheritance, member
from jwtrole.quoting import grantee, identifier, literal, qualified

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jwtrole.fixed_roles import Role

__all__ = ["PRIVILEGES", "Grant", "bootstrap", "bootstrap_line"]

#: What may be granted on a table. TRUNCATE, REFERENCES, TRIGGER and MAINTAIN are left
#: out for good: they work past row security.
PRIVILEGES = ("SELECT", "INSERT", "UPDATE", "DELETE")

_PRIVILEGE = re.compile(r"\A([A-Z]+)\s*(?:\(([^()]+)\))?\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Be the privileges of one role on one table.

    Args:
        table: The table's name.
        schema: The table's schema, or ``None`` for the search path's.
        role: The role that gets them; ``"PUBLIC"`` must be spelled out.
        on: Privileges such as ``"SELECT"`` or ``"UPDATE(body, title)"``.

    Raises:
        ConfigurationError: No usable role, or a privilege that is unknown or works
            past row security.
    """

    table: str
    schema: str | None = None
    role: str
    on: tuple[str, ...]

    def __post_init__(self) -> None:
        grantee(self.role)
        if isinstance(self.on, str) or not self.on:
            msg = f"Grant on {self.table!r}: on= is a list such as ['SELECT']."
            raise ConfigurationError(msg)
        object.__setattr__(self, "on", tuple(sorted(map(self._checked, self.on))))

    def _checked(self, privilege: str) -> str:
        match = _PRIVILEGE.match(privilege.strip())
        columns = match and match[2]
        names = {name.strip() for name in columns.split(",")} if columns else set()
        if (
            match is None
            or match[1] not in PRIVILEGES
            or (columns and match[1] == "DELETE")
            or "" in names
        ):
            msg = (
                f"Grant on {self.table!r}: {privilege!r} cannot be granted; use "
                f"{', '.join(PRIVILEGES)}, the first three also with columns, as in "
                "'UPDATE(body)'."
            )
            raise ConfigurationError(msg)
        return f"{match[1]}({', '.join(sorted(names))})" if names else match[1]

    @property
    def columns(self) -> frozenset[str]:
        """Return the columns that it names."""
        lists = (one.partition("(")[2].removesuffix(")") for one in self.on)
        return frozenset(
            name for columns in lists if columns for name in columns.split(", ")
        )

    @staticmethod
    def _quoted(privilege: str) -> str:
        name, bracket, columns = privilege.partition("(")
        if not bracket:
            return name
        quoted = (identifier(c) for c in columns.removesuffix(")").split(", "))
        return f"{name} ({', '.join(quoted)})"

    def _statement(self, verb: str, preposition: str) -> tuple[str]:
        rights = ", ".join(map(self._quoted, self.on))
        table = qualified(self.schema, self.table)
        return (f"{verb} {rights} ON TABLE {table} {preposition} {grantee(self.role)}",)

    def grant(self) -> tuple[str]:
        """Return the statement that grants exactly what is declared."""
        return self._statement("GRANT", "TO")

    def revoke(self) -> tuple[str]:
        """Return the statement that takes exactly the same away."""
        return self._statement("REVOKE", "FROM")


def bootstrap(
    *,
    owner: str,
    login: str | Sequence[str],
    roles: Sequence[str | Role],
    anonymous: str | Role | None = None,
    test: str | Sequence[str] | None = None,
) -> tuple[str, ...]:
    r"""Return the statements that make owner, login and fixed roles; safe to repeat.

    Whoever runs them needs CREATEROLE, with ``test`` also CREATEDB, and from
    PostgreSQL 16 on the ADMIN option on those of the roles that somebody else made.
    Passwords are not set here: let the login role authenticate by certificate, peer
    or IAM, or set one with ``\password``. No role is ever dropped.

    Args:
        owner: LOGIN; owns the tables and runs migrations.
        login: LOGIN NOINHERIT; the application connects as it and may do nothing. One
            or several.
        roles: The fixed roles a token may name, each as a name or with what it
            inherits. What one of these, or of those they inherit, inherits of the
            others without saying so is taken away.
        anonymous: The role without a token.
        test: LOGIN NOINHERIT for test databases, one or several; may become the owner
            too. Also gives the owner CREATEDB.

    Raises:
        ConfigurationError: A name that is reserved, unusable or given twice, a role
            that inherits itself, or no fixed role.
    """
    if isinstance(roles, str):
        msg = f"roles is a list that names at least one role, not {roles!r}."
        raise ConfigurationError(msg)
    declared = [*roles, *(() if anonymous is None else (anonymous,))]
    fixed = _names(*map(name_of, declared))
    if not fixed:
        msg = f"roles is a list that names at least one role, not {roles!r}."
        raise ConfigurationError(msg)
    logins = _several(login)
    tests = [] if test is None else _several(test)
    every = every_role(declared)
    _names(OWNER_ROLE, owner, *logins, *tests, *every)
    statements = [
        _role(OWNER_ROLE),
        _role(owner, login=True, inherit=True, createdb=bool(tests)),
        *(_role(name, inherit=True) for name in every),
        member(OWNER_ROLE, owner, inherit=True, settable=True),
        *inheritance(every),
    ]
    reaching = [(name, fixed) for name in logins]
    reaching += [(name, [owner, *fixed]) for name in tests]
    for name, reach in reaching:
        statements.append(_role(name, login=True))
        statements += [member(role, name, settable=True) for role in reach]
        statements += _quiet_parameters(name)
    return tuple(statements)


def bootstrap_line(*, owner: str, logins: Iterable[str], roles: Iterable[str]) -> str:
    """Return the command that makes missing roles, for messages.

    Args:
        owner: The owner of the tables.
        logins: What the application logs in as; empty where that is not known.
        roles: The fixed roles that are missing; empty where they are not known.
    """
    words = ["jwtrole", "bootstrap", "--owner", owner]
    for option, names in (("--login", logins), ("--role", roles)):
        for name in list(names) or [option[2:].upper()]:
            words += [option, name]
    return shlex.join([*words, "--apply", "--dsn", "DSN"])


def _several(names: object) -> list[Any]:
    # What is no name either is left to be refused as one.
    return list(names) if isinstance(names, list | tuple) else [names]


def _names(*names: str) -> list[str]:
    allowed = [allowed_role(name) for name in names]
    if len(set(allowed)) < len(allowed):
        msg = f"Each role needs a name of its own: {', '.join(allowed)}."
        raise ConfigurationError(msg)
    return allowed


# CREATEROLE in an owner would let it make itself anybody. What is right already is left
# alone: to name CREATEDB takes somebody who has it, to alter a role its ADMIN option.
_ROLE = """\
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {value}) THEN
        CREATE ROLE {name};
    ELSIF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {value}
                  AND (rolsuper OR rolbypassrls OR rolreplication)) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_role_specification', MESSAGE = {past};
    END IF;
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {value}
                   AND {login} AND {inherit} AND NOT rolcreaterole) THEN
        ALTER ROLE {name} {attributes} NOCREATEROLE;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {value}
                   AND {createdb}) THEN
        ALTER ROLE {name} {verb};
    END IF;"""


def _role(
    name: str, *, login: bool = False, inherit: bool = False, createdb: bool = False
) -> str:
    past = (
        f"the role {name} is there and works past row security (SUPERUSER, BYPASSRLS "
        "or REPLICATION): take that away or choose another name"
    )
    return block(
        _ROLE,
        name=identifier(name),
        value=literal(name).strip(),
        past=literal(past).strip(),
        login="rolcanlogin" if login else "NOT rolcanlogin",
        inherit="rolinherit" if inherit else "NOT rolinherit",
        createdb="rolcreatedb" if createdb else "NOT rolcreatedb",
        attributes=" ".join(
            ("LOGIN" if login else "NOLOGIN", "INHERIT" if inherit else "NOINHERIT")
        ),
        verb="CREATEDB" if createdb else "NOCREATEDB",
    )


# Bound parameters reach the server's log; the settings are a superuser's.
_QUIET = """\
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_db_role_setting AS s
                   JOIN pg_catalog.pg_roles AS r ON r.oid = s.setrole
                   WHERE r.rolname = {value} AND s.setdatabase = 0
                   AND {found}) THEN
        {alter};
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING USING MESSAGE = {warning}, HINT = {hint};"""

# This module logs parameters, from PostgreSQL 16 on whatever the setting above says,
# and in a verbose plan their values. Where it is not loaded its settings do nothing.
_VERBOSE = "auto_explain.log_verbose"
_PARAMETERS = "auto_explain.log_parameter_max_length"
_FROM_16 = "current_setting('server_version_num')::int >= 160000"


def _quiet_parameters(login: str) -> tuple[str, ...]:
    alter = f"ALTER ROLE {identifier(login)} SET"
    explained = f"{alter} {_VERBOSE} = off"
    parameters = f"{alter} {_PARAMETERS} = 0"
    return (
        _quiet(
            login,
            "log_parameter_max_length",
            "'log_parameter_max_length=0' = ANY (s.setconfig)",
            f"{alter} log_parameter_max_length = 0",
        ),
        _quiet(
            login,
            f"{_VERBOSE} and (from PostgreSQL 16 on) {_PARAMETERS}",
            f"'{_VERBOSE}=off' = ANY (s.setconfig) AND"
            f" (NOT {_FROM_16} OR '{_PARAMETERS}=0' = ANY (s.setconfig))",
            f"{explained}; IF {_FROM_16} THEN {parameters}; END IF",
            f"{explained}; {parameters}",
        ),
        f"{alter} log_parameter_max_length_on_error = 0",
    )


def _quiet(login: str, what: str, found: str, alter: str, hint: str = "") -> str:
    warning = (
        f"{what} of {login} can be set by a superuser alone: until then tokens and "
        "claims can appear in the server's log"
    )
    return block(
        _QUIET,
        value=literal(login).strip(),
        found=found,
        alter=alter,
        warning=literal(warning).strip(),
        hint=literal(f"{hint or alter};").strip(),
    )
