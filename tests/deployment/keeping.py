"""Drivers that go on using what they prepared for somebody else: the control."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django_jwtrole.postgresql import base
from sqlalchemy_jwtrole import begin

if TYPE_CHECKING:
    import pytest


def keep_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what has drivers forget, for the length of a test."""
    monkeypatch.setattr(begin, "forget_prepared", lambda _: None)
    monkeypatch.setattr(base.DatabaseWrapper, "get_new_connection", _preparing)


def _preparing(wrapper: Any, given: dict[str, Any]) -> Any:
    mixin: Any = base.JWTRoleDatabaseMixin
    connection = mixin.get_new_connection(wrapper, given)
    connection.prepare_threshold = given.get("prepare_threshold")
    return connection
