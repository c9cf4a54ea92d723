"""SQLAlchemy: each transaction runs as the role of a verified token."""

from sqlalchemy_jwtrole.begin import attach
from sqlalchemy_jwtrole.elevated import elevated
from sqlalchemy_jwtrole.expressions import claim
from sqlalchemy_jwtrole.installation import install, sync
from sqlalchemy_jwtrole.policy import Grant, Policy

__all__ = ["Grant", "Policy", "attach", "claim", "elevated", "install", "sync"]
