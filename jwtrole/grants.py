"""Grants on what is no table: sequences, functions, schemas, and by default.

https://www.postgresql.org/docs/current/ddl-priv.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jwtrole.errors import ConfigurationError
from jwtrole.quoting import grantee, identifier, qualified
from jwtrole.roles import PRIVILEGES

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["KINDS", "GrantOn"]

_SEQUENCE = ("USAGE", "SELECT", "UPDATE")
#: What there may be grants on, and which. CREATE on a schema would let a role own
#: objects, which no policy holds; TRUNCATE and the like work past row security.
KINDS: dict[str, tuple[str, ...]] = {
    "sequence": _SEQUENCE,
    "function": ("EXECUTE",),
    "schema": ("USAGE",),
    "default tables": PRIVILEGES,
    "default sequences": _SEQUENCE,
    "default functions": ("EXECUTE",),
}

# Types are taken as they are written: nothing that could end the list passes.
_FUNCTION = re.compile(r'\A([^()]+)\(((?:[A-Za-z0-9_ .,\[\]]|"[^"]+")*)\)\Z')


@dataclass(frozen=True, slots=True)
class GrantOn:
    """Be the privileges of one role on a sequence, a function or a schema.

    Or on what the owner will create in a schema from now on, which says nothing of
    what is there: ``"default tables"``, ``"default sequences"``,
    ``"default functions"``.

    Args:
        kind: ``"sequence"``, ``"function"``, ``"schema"`` or one of the three above.
        name: The sequence's or the schema's name, or a function with the types of its
            arguments, as in ``"total(uuid, text)"``.
        to: The role that gets them; ``"PUBLIC"`` must be spelled out.
        on: Privileges such as ``["USAGE"]``.
        schema: The schema of the sequence or the function, or ``None`` for the search
            path's.

    Raises:
        ConfigurationError: An unknown kind, no usable role or name, a privilege that
            the kind does not have or that cannot be granted here, or the schema
            ``jwtrole`` itself.
    """

    kind: str
    name: str
    to: str
    on: Sequence[str]
    schema: str | None = None

    def __post_init__(self) -> None:
        where = f"Grant on {self.kind} {self.name!r}"
        if self.kind not in KINDS:
            msg = f"{where}: the kind is one of {', '.join(map(repr, KINDS))}."
            raise ConfigurationError(msg)
        grantee(self.to)
        allowed = KINDS[self.kind]
        if isinstance(self.on, str) or not self.on or not set(self.on) <= set(allowed):
            msg = (
                f"{where}: on= is a list of {', '.join(allowed)}, not {self.on!r}; "
                "nothing else can be granted."
            )
            raise ConfigurationError(msg)
        object.__setattr__(self, "on", tuple(sorted(set(self.on))))
        if self._is_in_schema and self.schema is not None:
            msg = f"{where}: name= is the schema, and schema= is left out."
            raise ConfigurationError(msg)
        home = self.name if self._is_in_schema else self.schema
        if home == "jwtrole" or (home or "").startswith("pg_"):
            msg = f"{where}: the schema {home!r} is not yours to grant anything on."
            raise ConfigurationError(msg)
        self._target()

    @property
    def _is_in_schema(self) -> bool:
        return self.kind == "schema" or self.kind.startswith("default ")

    def _target(self) -> str:
        if self._is_in_schema:
            return identifier(self.name)
        if self.kind == "sequence":
            return qualified(self.schema, self.name)
        found = _FUNCTION.match(self.name)
        if found is None:
            msg = (
                f"Grant on function {self.name!r}: give the types of its arguments as "
                "PostgreSQL spells them, as in 'total(uuid, text)'."
            )
            raise ConfigurationError(msg)
        return f"{qualified(self.schema, found[1].strip())}({found[2]})"

    def _statement(self, verb: str, preposition: str) -> tuple[str]:
        rights, target = ", ".join(self.on), self._target()
        kind, _, what = self.kind.partition(" ")
        tail = f"{preposition} {grantee(self.to)}"
        if what:
            # Without FOR ROLE: of whoever runs it, the owner of what is to come.
            what = f"IN SCHEMA {target} {verb} {rights} ON {what.upper()}"
            return (f"ALTER DEFAULT PRIVILEGES {what} {tail}",)
        return (f"{verb} {rights} ON {kind.upper()} {target} {tail}",)

    def grant(self) -> tuple[str]:
        """Return the statement that grants exactly what is declared."""
        return self._statement("GRANT", "TO")

    def revoke(self) -> tuple[str]:
        """Return the statement that takes exactly the same away."""
        return self._statement("REVOKE", "FROM")

    def identity(self) -> str:
        """Return its name as ``to_regclass`` and ``to_regprocedure`` take it."""
        return self._target()

    def written(self) -> dict[str, Any]:
        """Return the arguments beside kind, name and role, as migrations write them."""
        schema = {} if self.schema is None else {"schema": self.schema}
        return {"on": list(self.on), **schema}
