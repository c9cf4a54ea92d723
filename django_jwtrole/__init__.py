"""A verified JWT decides which PostgreSQL role and rows a Django request gets."""

from __future__ import annotations

from django_jwtrole.expressions import Claim, RawPredicate
from django_jwtrole.policy import Grant, Policy
from django_jwtrole.related import Related
from jwtrole.fixed_roles import Role

__all__ = ["Claim", "Grant", "Policy", "RawPredicate", "Related", "Role"]
