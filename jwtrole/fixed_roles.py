"""The fixed roles as they are declared: their names, what they inherit, their limits.

https://www.postgresql.org/docs/current/role-membership.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from jwtrole.errors import ConfigurationError
from jwtrole.install import OWNER_ROLE
from jwtrole.quoting import MAX_NAME_BYTES

__all__ = ["Role", "allowed_role", "every_role", "name_of", "reach"]

_RESERVED = {"none", "public", "current_role", "current_user", "session_user"}
# A list of what may be, for nobody can list what may not: who acts (role), what
# protects (row_security, search_path), how SQL is read (client_encoding) and what the
# log shows are not for a role to set, nor what a later release makes of these.
_SETTING = re.compile(
    r"""(?x)\A(?:
        (?:statement|lock|transaction|idle_in_transaction_session)_timeout
        | (?:maintenance_)?work_mem | hash_mem_multiplier | synchronous_commit
        | enable_[a-z_]+ | geqo | plan_cache_mode | constraint_exclusion
        | (?:from|join)_collapse_limit | cursor_tuple_fraction | effective_cache_size
        | effective_io_concurrency | gin_fuzzy_search_limit
        | (?:seq_page|random_page|cpu_(?:index_)?tuple|cpu_operator)_cost
        | parallel_(?:setup|tuple)_cost | max_parallel_workers_per_gather
        | jit | jit_(?:|inline_|optimize_)above_cost
        | datestyle | intervalstyle | timezone | lc_(?:monetary|numeric|time)
        | bytea_output | extra_float_digits | default_text_search_config
        # An application's own.
        | (?!(?:jwtrole|request|plpgsql|pg_[a-z0-9_]*)\.)[a-z_][a-z0-9_]*\.[a-z0-9_]+
    )\Z"""
)


def allowed_role(name: object) -> str:
    """Return the name of a role that a token may be mapped to.

    Raises:
        ConfigurationError: It is no string, ``none``, reserved (``pg_*``, ``public``
            and the like), or over 63 bytes.
    """
    if not isinstance(name, str) or not name or not name.isprintable():
        msg = f"A role is a non-empty printable string, not {name!r}."
        raise ConfigurationError(msg)
    if name.lower() in _RESERVED or name.lower().startswith("pg_"):
        msg = f"{name!r} is reserved by PostgreSQL: name a role of your own."
        raise ConfigurationError(msg)
    if len(name.encode()) > MAX_NAME_BYTES:
        msg = f"The role {name!r} is over {MAX_NAME_BYTES} bytes: shorten it."
        raise ConfigurationError(msg)
    return name


@dataclass(frozen=True, slots=True)
class Role:
    """Be one of the fixed roles, where its name alone does not say enough.

    Settings last for one transaction: the statements that put the role on set them,
    for PostgreSQL applies ``ALTER ROLE ... SET`` at login alone. They bound what honest
    code takes; SQL that is injected can set them anew.

    Args:
        name: Its name, at most 63 bytes.
        inherits: The roles whose policies and grants are its own as well, by name or
            as a :class:`Role`. Those that are named only here are made too, and no
            token may name them.
        settings: Values by setting, as in ``{"statement_timeout": "2s"}``: time-outs,
            memory, the planner's, formats, and the application's own (``app.theme``).
            They are not inherited.

    Raises:
        ConfigurationError: A name that no role can have, or a setting that is unknown
            or not for a role to set.
    """

    name: str
    inherits: Sequence[str | Role] = ()
    settings: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        allowed_role(self.name)
        if isinstance(self.inherits, str) or not isinstance(self.inherits, Iterable):
            msg = (
                f"Role {self.name!r}: inherits= is a list of roles, such as "
                f"['reader'], not {self.inherits!r}."
            )
            raise ConfigurationError(msg)
        if not isinstance(self.settings, Mapping):
            msg = (
                f"Role {self.name!r}: settings= is a mapping, such as "
                f"{{'statement_timeout': '2s'}}, not {self.settings!r}."
            )
            raise ConfigurationError(msg)
        object.__setattr__(self, "inherits", tuple(self.inherits))
        for inherited in self.inherits:
            if _inheritable(inherited) == OWNER_ROLE:
                msg = (
                    f"Role {self.name!r} inherits {OWNER_ROLE!r}, which owns what "
                    "verifies tokens: inherit a role of your own."
                )
                raise ConfigurationError(msg)
        found = dict(self._setting(*pair) for pair in self.settings.items())
        object.__setattr__(self, "settings", MappingProxyType(found))

    def _setting(self, setting: object, value: object) -> tuple[str, str]:
        name = setting.lower() if isinstance(setting, str) else ""
        if not _SETTING.match(name):
            msg = (
                f"Role {self.name!r}: {setting!r} is not for a role to set. It may set "
                "time-outs, memory, the planner's settings, formats, and settings of "
                "the application's own, such as 'app.theme'."
            )
            raise ConfigurationError(msg)
        if not isinstance(value, str) or not value.isprintable():
            msg = (
                f"Role {self.name!r}: {setting!r} is a string, such as '2s' or "
                f"'64MB', not {value!r}."
            )
            raise ConfigurationError(msg)
        return name, value

    def __reduce__(self) -> tuple[Any, ...]:
        # For copies: a mapping proxy makes none of itself.
        return Role, (self.name, self.inherits, dict(self.settings))


def _inheritable(inherited: object) -> str:
    return inherited.name if isinstance(inherited, Role) else allowed_role(inherited)


def name_of(role: object) -> str:
    """Return the name of a role, however it is declared.

    Raises:
        ConfigurationError: It is neither, or no name that a role can have.
    """
    return role.name if isinstance(role, Role) else allowed_role(role)


def every_role(declared: Iterable[str | Role]) -> dict[str, Role]:
    """Return the declared roles by name, and after them those that they inherit.

    Args:
        declared: Names and roles. A name says nothing of a role that is declared as
            well.

    Raises:
        ConfigurationError: A role is declared in two ways, or inherits itself.
    """
    found: dict[str, Role] = {}
    names: dict[str, None] = {}
    waiting = list(declared)
    while waiting:
        one = waiting.pop(0)
        name = name_of(one)
        names[name] = None
        if not isinstance(one, Role) or found.get(name) == one:
            continue
        if name in found:
            msg = f"The role {name!r} is declared in two ways: declare it once."
            raise ConfigurationError(msg)
        found[name] = one
        waiting += one.inherits
    roles = {name: found.get(name) or Role(name) for name in names}
    for name in roles:
        if name in _inherited(roles, name):
            msg = f"The role {name!r} inherits itself, by way of what it inherits."
            raise ConfigurationError(msg)
    return roles


def _inherited(roles: Mapping[str, Role], name: str) -> set[str]:
    found: set[str] = set()
    waiting = [name]
    while waiting:
        for inherited in map(name_of, roles[waiting.pop()].inherits):
            if inherited not in found:
                found.add(inherited)
                waiting.append(inherited)
    return found


def reach(roles: Mapping[str, Role], name: str) -> frozenset[str]:
    """Return the roles whose grants and policies are a role's: itself and inherited.

    Args:
        roles: What :func:`every_role` returned.
        name: The role.
    """
    return frozenset({name} | (_inherited(roles, name) if name in roles else set()))
