"""For a project's own tests: requests as the holder of a token minted on the spot.

.. code-block:: python

    from django.test import TestCase
    from django_jwtrole.testing import JWTRoleTestMixin


    class InvoiceTests(JWTRoleTestMixin, TestCase):
        def test_list(self):
            InvoiceFactory(tenant_id=TENANT)  # as the owner: outside any request
            client = self.client.acting_as(role="member", tenant_id=str(TENANT))
            self.assertContains(client.get("/invoices/"), "2026-001")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from django.conf import settings
from django.test import AsyncClient as StockAsyncClient
from django.test import Client as StockClient
from django.test import override_settings

from django_jwtrole.conf import auth
from django_jwtrole.throwaway import issuer
from jwtrole.context import acting_as as core_acting_as

if TYPE_CHECKING:
    _Client = StockClient
else:
    _Client = object

__all__ = [
    "ActingClientMixin",
    "AsyncClient",
    "Client",
    "JWTRoleTestMixin",
    "acting_as",
    "issuer",
    "trust_issuer",
]


def trust_issuer() -> override_settings:
    """Trust :func:`issuer` besides those of ``JWTROLE``.

    Returns:
        A context manager that also decorates functions and test classes.
    """
    given: dict[str, Any] = settings.JWTROLE
    issuers = [one for one in given["ISSUERS"] if one["issuer"] != issuer().name]
    trusted = {**given, "ISSUERS": [*issuers, issuer().settings]}
    return override_settings(JWTROLE=trusted)


def acting_as(**claims: Any) -> core_acting_as:
    """Act as the holder of a token with these claims, outside any request.

    Raises:
        TokenError: :func:`issuer` is not trusted; see :func:`trust_issuer`.
        RoleDenied: The claims name no allowed role.
    """
    return core_acting_as(auth().verify(issuer().mint(**claims)))


class ActingClientMixin(_Client):
    """Let a test client send a token; goes before a client class."""

    _claims: dict[str, Any] | None = None

    def acting_as(self, **claims: Any) -> Self:
        """Send a freshly minted token with these claims on each request from now on.

        ``client.acting_as()`` without claims sends none any more.
        """
        self._claims = claims or None
        return self

    def generic(self, *args: Any, **extra: Any) -> Any:
        """Send a request, with the token unless it names its own."""
        headers = dict(extra.pop("headers", None) or {})
        if self._claims is not None and "HTTP_AUTHORIZATION" not in extra:
            names = {name.lower() for name in headers}
            if "authorization" not in names:
                token = issuer().mint(**self._claims)
                headers["authorization"] = f"Bearer {token}"
        return super().generic(*args, headers=headers, **extra)


class Client(ActingClientMixin, StockClient):
    """Be Django's test client with :meth:`acting_as`."""


class AsyncClient(ActingClientMixin, StockAsyncClient):  # type: ignore[misc]
    """Be Django's asynchronous test client with :meth:`acting_as`."""


class JWTRoleTestMixin:
    """Trust the issuer and use the clients; goes before a test class of Django's."""

    client_class = Client
    async_client_class = AsyncClient
    client: Client
    async_client: AsyncClient

    @classmethod
    def setUpClass(cls) -> None:
        """Trust the issuer for the length of the class."""
        cls.enterClassContext(trust_issuer())  # type: ignore[attr-defined]
        super().setUpClass()  # type: ignore[misc]
