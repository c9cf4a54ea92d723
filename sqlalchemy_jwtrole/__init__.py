"""SQLAlchemy: each transaction runs as the role of a verified token."""

from jwtrole.fixed_roles import Role
from jwtrole.grants import GrantOn
from sqlalchemy_jwtrole.begin import attach
from sqlalchemy_jwtrole.comparison import drift
from sqlalchemy_jwtrole.elevated import elevated
from sqlalchemy_jwtrole.expressions import RawPredicate, claim
from sqlalchemy_jwtrole.grants import declare_on
from sqlalchemy_jwtrole.installation import install, sync
from sqlalchemy_jwtrole.policy import Grant, Policy

__all__ = [
    "Grant",
    "GrantOn",
    "Policy",
    "RawPredicate",
    "Role",
    "attach",
    "claim",
    "declare_on",
    "drift",
    "elevated",
    "install",
    "sync",
]
