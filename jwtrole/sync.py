"""What a configuration says, as the statements that have the database trust the same.

They are run by the owner, in one transaction, and change only what differs: told
twice, nothing changes and no ticket ends.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any

from jwt.algorithms import get_default_algorithms

from jwtrole.begin import Statement
from jwtrole.errors import ConfigurationError

if TYPE_CHECKING:
    from jwtrole.issuers import Issuer
    from jwtrole.keys import Key
    from jwtrole.tokens import JWTRole

__all__ = ["declaration", "statements"]

_LISTED = "(SELECT pg_catalog.jsonb_array_elements_text({}::text::jsonb))"

_UNTRUST = (
    "SELECT jwtrole.untrust(i.name) FROM jwtrole.issuer AS i"
    f" WHERE i.name NOT IN {_LISTED.format('$1')}"
)
_TRUST = (
    f"SELECT jwtrole.trust($1, ARRAY{_LISTED.format('$2')}, $3::text::integer,"
    f" ARRAY{_LISTED.format('$4')}, $5::text::integer)"
)
_UNMAP = (
    "SELECT jwtrole.unmap_role(m.issuer, m.value) FROM jwtrole.role_map AS m"
    f" WHERE m.issuer = $1 AND m.value NOT IN {_LISTED.format('$2')}"
)
_MAP = "SELECT jwtrole.map_role($1, $2, $3)"
_SAME_KEY = (
    "(k.alg, k.kid_rule, k.thumbprint, CASE k.kid_rule WHEN 'named' THEN k.kid END)"
    " IS NOT DISTINCT FROM (w ->> 'alg', w ->> 'rule', w ->> 'thumbprint', w ->> 'kid')"
)
_RETIRE = (
    "SELECT jwtrole.retire_key(r.issuer, r.kid) FROM (SELECT DISTINCT k.issuer, k.kid"
    " FROM jwtrole.key AS k WHERE k.issuer = $1 AND NOT EXISTS (SELECT FROM"
    f" pg_catalog.jsonb_array_elements($2::text::jsonb) AS w WHERE {_SAME_KEY})) AS r"
)
_ADD = (
    "SELECT jwtrole.add_key(x.issuer, x.jwk, x.rule = 'any')"
    " FROM (SELECT $1::text, $2::text::jsonb, $3::text::jsonb) AS g (issuer, w, jwk)"
    " CROSS JOIN LATERAL (SELECT g.issuer, g.jwk, g.w ->> 'rule') AS x"
    " (issuer, jwk, rule) WHERE NOT EXISTS (SELECT FROM jwtrole.key AS k"
    f" WHERE k.issuer = g.issuer AND {_SAME_KEY.replace('w ->', 'g.w ->')})"
)
_ANONYMOUS = "SELECT jwtrole.set_anonymous(NULLIF($1, ''))"


def statements(auth: JWTRole, *, max_ticket: int = 300) -> tuple[Statement, ...]:
    """Return the statements that make the database trust exactly what ``auth`` does.

    Keys at a ``jwks_uri`` are fetched, which takes up to five seconds an issuer. What
    is denied stays denied.

    Args:
        auth: The configuration.
        max_ticket: Seconds that a ticket lasts at most, 1 to 86400.

    Raises:
        ConfigurationError: The database cannot do the same: the role is read by a
            callable, or a leeway is no whole number of seconds.
        KeysUnavailable: An issuer's keys cannot be had now.
    """
    path = _path(auth)
    found = [Statement(_UNTRUST, (json.dumps([one.issuer for one in auth.issuers]),))]
    for issuer in auth.issuers:
        found.append(_trust(issuer, path, max_ticket))
        found += _roles(issuer, auth)
        found += _keys(issuer)
    anonymous = "" if auth.anonymous is None else auth.anonymous.role
    return (*found, Statement(_ANONYMOUS, (anonymous,)))


def declaration(auth: JWTRole) -> str:
    """Return what ``auth`` trusts as JSON, for ``jwtrole.differences()``.

    Nothing is fetched: of an issuer with a ``jwks_uri`` the keys are left open. Nor
    does it hold a secret, or what could be compared with one.

    Raises:
        ConfigurationError: The database cannot do the same, as :func:`statements` says.
    """
    path = _path(auth)
    issuers = [
        {
            "name": issuer.issuer,
            "audience": issuer.audience,
            "leeway": _leeway(issuer),
            "role_claim": path,
            "roles": dict(auth.role_map.values),
            "keys": None if issuer.jwks_uri else _public_marks(issuer),
        }
        for issuer in auth.issuers
    ]
    anonymous = None if auth.anonymous is None else auth.anonymous.role
    return json.dumps({"issuers": issuers, "anonymous": anonymous})


def _path(auth: JWTRole) -> tuple[str, ...]:
    path = auth.role_map.path
    if path is None:
        msg = (
            "role_claim is a callable, which the database cannot run: give the claim's "
            "name or its path as a list, or use the application mode."
        )
        raise ConfigurationError(msg)
    return path


def _leeway(issuer: Issuer) -> int:
    leeway = int(issuer.leeway)
    if leeway != issuer.leeway:
        msg = (
            f"The leeway of {issuer.issuer!r} is {issuer.leeway!r} and the database "
            "counts whole seconds: round it."
        )
        raise ConfigurationError(msg)
    return leeway


def _trust(issuer: Issuer, path: tuple[str, ...], max_ticket: int) -> Statement:
    values = (json.dumps(issuer.audience), str(_leeway(issuer)), json.dumps(path))
    return Statement(_TRUST, (issuer.issuer, *values, str(max_ticket)))


def _roles(issuer: Issuer, auth: JWTRole) -> list[Statement]:
    values = auth.role_map.values
    unmap = Statement(_UNMAP, (issuer.issuer, json.dumps(list(values))))
    pairs = values.items()
    return [unmap, *(Statement(_MAP, (issuer.issuer, *pair)) for pair in pairs)]


def _marked(issuer: Issuer) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return the marks of each key, once for each algorithm, and its JWK."""
    keys, by_kid = issuer.current_keys()
    return [
        (_marks(jwk, key, by_kid=by_kid), jwk)
        for key in keys
        for jwk in (_jwk(key, alg) for alg in key.algorithms)
    ]


def _public_marks(issuer: Issuer) -> list[dict[str, Any]]:
    return [
        {**marks, "thumbprint": None} if jwk["kty"] == "oct" else marks
        for marks, jwk in _marked(issuer)
    ]


def _keys(issuer: Issuer) -> list[Statement]:
    wanted = _marked(issuer)
    retire = Statement(
        _RETIRE, (issuer.issuer, json.dumps([marks for marks, _ in wanted]))
    )
    # Of a key that is published twice one is enough.
    added = {json.dumps(marks): json.dumps(jwk) for marks, jwk in wanted}
    return [
        retire,
        *(Statement(_ADD, (issuer.issuer, *pair)) for pair in added.items()),
    ]


def _jwk(key: Key, alg: str) -> dict[str, Any]:
    jwk = get_default_algorithms()[alg].to_jwk(key.material, as_dict=True)
    jwk.pop("key_ops", None)
    named = {} if key.kid is None else {"kid": key.kid}
    return {**jwk, **named, "alg": alg}


def _marks(jwk: dict[str, Any], key: Key, *, by_kid: bool) -> dict[str, Any]:
    """Return what tells a key from the others of its issuer (RFC 7638)."""
    members = {
        name: jwk[name]
        for name in ("crv", "e", "k", "kty", "n", "x", "y")
        if name in jwk
    }
    text = json.dumps(members, separators=(",", ":"), sort_keys=True)
    digest = hashlib.sha256(text.encode()).digest()
    rule = "any" if not by_kid else "unnamed" if key.kid is None else "named"
    return {
        "alg": jwk["alg"],
        "kid": key.kid if rule == "named" else None,
        "rule": rule,
        "thumbprint": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
    }
