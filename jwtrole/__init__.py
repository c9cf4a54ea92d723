"""Tie a verified JWT to PostgreSQL roles and row-level security."""

from jwtrole.context import acting_as, current_identity
from jwtrole.errors import (
    ConfigurationError,
    DriftError,
    IdentityChanged,
    JWTRoleError,
    KeysUnavailable,
    NoIdentity,
    RoleDenied,
    TokenError,
    TokenExpired,
    TokenRejected,
    TrustWarning,
    UnknownIssuer,
)
from jwtrole.fixed_roles import Role
from jwtrole.identity import Identity
from jwtrole.tokens import Issuer, JWTRole

__all__ = [
    "ConfigurationError",
    "DriftError",
    "Identity",
    "IdentityChanged",
    "Issuer",
    "JWTRole",
    "JWTRoleError",
    "KeysUnavailable",
    "NoIdentity",
    "Role",
    "RoleDenied",
    "TokenError",
    "TokenExpired",
    "TokenRejected",
    "TrustWarning",
    "UnknownIssuer",
    "acting_as",
    "current_identity",
]
