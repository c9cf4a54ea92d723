"""The database engine ``django_jwtrole.postgresql``."""
