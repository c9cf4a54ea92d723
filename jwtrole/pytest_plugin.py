"""The testing module as fixtures; opt in with ``pytest_plugins``.

.. code-block:: python

    # conftest.py
    pytest_plugins = ["jwtrole.pytest_plugin"]


    @pytest.fixture(scope="session")
    def jwtrole_auth(jwtrole_issuer):
        return JWTRole(issuers=[jwtrole_issuer.issuer], roles=["member"])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jwtrole.errors import ConfigurationError
from jwtrole.testing import ThrowawayIssuer, acting_as

if TYPE_CHECKING:
    from collections.abc import Callable

    import jwtrole.context
    from jwtrole.tokens import JWTRole

__all__ = ["jwtrole_acting_as", "jwtrole_auth", "jwtrole_issuer", "jwtrole_mint"]


@pytest.fixture(scope="session")
def jwtrole_issuer() -> ThrowawayIssuer:
    """Return an issuer whose key was made for this run."""
    return ThrowawayIssuer()


@pytest.fixture(scope="session")
def jwtrole_auth() -> JWTRole:
    """Return what the application trusts; a project overrides this fixture."""
    msg = (
        "Override the fixture jwtrole_auth in your conftest.py: return a JWTRole that "
        "trusts jwtrole_issuer.issuer and has your roles."
    )
    raise ConfigurationError(msg)


@pytest.fixture(scope="session")
def jwtrole_mint(jwtrole_issuer: ThrowawayIssuer) -> Callable[..., str]:
    """Return a function that mints a token with the claims it is given."""
    return jwtrole_issuer.mint


@pytest.fixture
def jwtrole_acting_as(
    jwtrole_auth: JWTRole, jwtrole_issuer: ThrowawayIssuer
) -> Callable[..., jwtrole.context.acting_as]:
    """Return a context manager: act as the holder of a token with these claims."""

    def acting(**claims: Any) -> jwtrole.context.acting_as:
        return acting_as(jwtrole_auth, jwtrole_issuer, **claims)

    return acting
