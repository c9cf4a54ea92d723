"""The clients and helpers for a project's own tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import async_to_sync
from django.test import SimpleTestCase, override_settings

from django_jwtrole import conf, testing
from jwtrole.errors import RoleDenied
from tests.django_project.settings import JWTROLE

if TYPE_CHECKING:
    from django_jwtrole.testing import AsyncClient, Client


def _role(response: Any) -> Any:
    return response.json()["role"]


def test_a_client_acts_until_it_is_told_otherwise(client: Client) -> None:
    """Each request carries a token, until acting_as() takes it away."""
    client.acting_as(role="member")
    assert [_role(client.get("/nothing/")) for _ in range(2)] == ["member", "member"]
    assert _role(client.acting_as(role="manager").get("/nothing/")) == "manager"
    assert _role(client.acting_as().get("/nothing/")) == "anon"


def test_a_request_may_bring_its_own_token(client: Client) -> None:
    """An Authorization header of the request wins."""
    token = f"Bearer {testing.issuer().mint(role='manager')}"
    client.acting_as(role="member")

    headers = {"Authorization": token}
    assert _role(client.get("/nothing/", headers=headers)) == "manager"
    assert _role(client.get("/nothing/", HTTP_AUTHORIZATION=token)) == "manager"
    assert _role(client.get("/nothing/", headers={"x-other": "1"})) == "member"


def test_an_async_client_acts_too(async_client: AsyncClient) -> None:
    """The asynchronous client sends the token as well."""
    get = async_client.acting_as(role="member").get
    assert _role(async_to_sync(get)("/nothing/")) == "member"


def test_trust_is_for_the_block_alone() -> None:
    """The issuer of the tests is trusted where asked for, once, and not beyond."""
    with override_settings(JWTROLE=JWTROLE):
        names = [issuer.issuer for issuer in conf.auth().issuers]
        with testing.trust_issuer(), testing.trust_issuer():
            trusted = [issuer.issuer for issuer in conf.auth().issuers]
        after = [issuer.issuer for issuer in conf.auth().issuers]

    assert trusted == [*names, testing.issuer().name]
    assert after == names


def test_acting_outside_a_request() -> None:
    """acting_as() goes the whole way of a token, refusals included."""
    from jwtrole.context import current_identity

    with testing.acting_as(role="member", sub="x"):
        identity = current_identity()
    assert identity is not None
    assert (identity.role, identity.subject) == ("member", "x")
    with pytest.raises(RoleDenied):
        testing.acting_as(role="postgres")


class MixinTests(testing.JWTRoleTestMixin, SimpleTestCase):
    def test_the_mixin_brings_clients_and_trust(self) -> None:
        """A TestCase with the mixin has acting clients whose tokens are trusted."""
        response = self.client.acting_as(role="member").get("/nothing/")
        assert _role(response) == "member"
        assert isinstance(self.async_client, testing.AsyncClient)
