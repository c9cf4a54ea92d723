"""Attackers have the login role's connection and any SQL they like."""

from __future__ import annotations

from tests.database import fixtures

attempt = fixtures.attempt
issuer = fixtures.issuer
neighbour = fixtures.neighbour
owner = fixtures.owner
sealed_database = fixtures.sealed_database
superuser = fixtures.superuser
