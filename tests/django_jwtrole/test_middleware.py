"""A request's token decides who is acting, sync and async, to the last byte."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import async_to_sync
from django.http import HttpResponse, StreamingHttpResponse

from django_jwtrole.middleware import JWTRoleMiddleware
from django_jwtrole.testing import issuer
from jwtrole.context import UNSET, acting, current_identity
from jwtrole.errors import ConfigurationError
from tests.django_jwtrole.conftest import ALICE, BLUE, RED
from tests.django_jwtrole.factories import InvoiceFactory
from tests.django_project import views

if TYPE_CHECKING:
    from django.conf import LazySettings
    from django.http import HttpRequest
    from django.test import RequestFactory

    from django_jwtrole.testing import AsyncClient, Client

MEMBER = {"role": "member", "sub": str(ALICE), "tenant_id": str(RED)}


@pytest.fixture
def invoices(db: None) -> None:
    """Write two red invoices and a blue one."""
    InvoiceFactory(number="red-1")
    InvoiceFactory(number="red-2")
    InvoiceFactory(number="blue-1", tenant_id=BLUE)


@pytest.mark.parametrize("path", ["/invoices/", "/invoices/async/"])
def test_a_view_sees_the_rows_of_the_token(
    client: Client, invoices: None, path: str
) -> None:
    """A sync server shows a tenant its own rows, whichever way the view is written."""
    response = client.acting_as(**MEMBER).get(path)

    assert response.json() == {"numbers": ["red-1", "red-2"]}


@pytest.mark.parametrize("path", ["/invoices/", "/invoices/async/"])
def test_an_async_server_shows_the_rows_of_the_token(
    async_client: AsyncClient, invoices: None, path: str
) -> None:
    """An async server shows a tenant its own rows, however the view is written."""
    response = async_to_sync(async_client.acting_as(**MEMBER).get)(path)

    assert json.loads(response.content) == {"numbers": ["red-1", "red-2"]}


def test_a_streamed_body_is_made_under_the_identity(
    client: Client, invoices: None
) -> None:
    """Rows read while the body is sent are the tenant's own."""
    response = client.acting_as(**MEMBER).get("/invoices/stream/")

    assert response.getvalue() == b"red-1\nred-2\n"
    assert acting() is UNSET


def test_an_async_streamed_body_is_made_under_the_identity(
    async_client: AsyncClient, invoices: None
) -> None:
    """Rows read while an async body is sent are the tenant's own."""

    async def read() -> bytes:
        response = await async_client.acting_as(**MEMBER).get("/invoices/stream/async/")
        return b"".join([piece async for piece in response.streaming_content])

    assert async_to_sync(read)() == b"red-1\nred-2\n"
    assert acting() is UNSET


def test_a_file_is_left_to_the_server(client: Client, rf: RequestFactory) -> None:
    """A file is not wrapped, so that a server may send it by itself."""
    response: Any = JWTRoleMiddleware(views.file)(rf.get("/"))

    assert response.file_to_stream is not None
    assert client.acting_as(**MEMBER).get("/file/").getvalue() == b"bytes"


def test_a_new_row_gets_the_tenant_of_the_token(client: Client, db: None) -> None:
    """A view that names no tenant writes into the token's."""
    from tests.django_project.billing.models import Invoice

    client.acting_as(**MEMBER).post("/invoices/", {"number": "new"})

    assert Invoice.objects.get(number="new").tenant_id == RED


def test_without_a_token_the_anonymous_role_acts(client: Client, db: None) -> None:
    """Without a token a request runs as the anonymous role, which may do nothing."""
    from django.db.utils import ProgrammingError

    assert client.get("/nothing/").json() == {"role": "anon"}
    with pytest.raises(ProgrammingError, match="permission denied"):
        client.get("/invoices/")


def test_without_anonymous_the_statement_is_refused(
    client: Client, db: None, settings: LazySettings
) -> None:
    """Where nobody is anonymous a statement is a 401, and a page without one is not."""
    settings.JWTROLE = {**settings.JWTROLE, "ANONYMOUS": None}

    assert client.get("/nothing/").json() == {"role": None}
    refused = client.get("/invoices/")

    assert refused.status_code == 401
    assert refused["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"role": "member", "exp": 1}, 401),
        ({"role": "member", "aud": "others"}, 401),
        ({"role": "postgres"}, 403),
    ],
)
def test_a_bad_token_never_reaches_the_view(
    client: Client, claims: dict[str, Any], status: int
) -> None:
    """An expired or foreign token is a 401 and a foreign role a 403, both at once."""
    assert client.acting_as(**claims).get("/nothing/").status_code == status


def test_a_bad_token_never_reaches_the_view_async(
    async_client: AsyncClient,
) -> None:
    """The async path refuses in the same way."""
    get = async_client.acting_as(role="member", exp=1).get
    response = async_to_sync(get)("/nothing/")

    assert response.status_code == 401
    assert 'error="invalid_token"' in response["WWW-Authenticate"]


def test_an_async_request_without_a_token_is_anonymous(
    async_client: AsyncClient,
) -> None:
    """Without a token the async path acts as the anonymous role."""
    response = async_to_sync(async_client.get)("/nothing/")

    assert json.loads(response.content) == {"role": "anon"}


def test_other_schemes_are_not_ours(client: Client) -> None:
    """Basic credentials are left to whoever reads them: the request is anonymous."""
    response = client.get("/nothing/", headers={"authorization": "Basic eDp5"})

    assert response.json() == {"role": "anon"}


def test_an_error_of_the_project_is_a_500(client: Client) -> None:
    """A view's own error, or a configuration that cannot work, is made no answer."""
    client.raise_request_exception = False
    client.acting_as(**MEMBER)

    assert client.get("/broken/", {"by": "ours"}).status_code == 500
    assert client.get("/broken/", {"by": "theirs"}).status_code == 500


def test_invalid_settings_are_raised(
    settings: LazySettings, rf: RequestFactory
) -> None:
    """A middleware whose settings are broken raises instead of answering."""
    settings.JWTROLE = {**settings.JWTROLE, "ROLES": ["none"]}
    middleware = JWTRoleMiddleware(lambda request: HttpResponse())

    with pytest.raises(ConfigurationError, match="reserved"):
        middleware(rf.get("/"))


def test_the_consumer_of_a_body_keeps_its_context(rf: RequestFactory) -> None:
    """Between two pieces of a body whoever consumes it is not acting as its reader."""
    seen = []

    def view(request: HttpRequest) -> StreamingHttpResponse:
        def body() -> Any:
            seen.append(current_identity())
            yield "a"
            seen.append(current_identity())
            yield "b"

        return StreamingHttpResponse(body())

    token = issuer().mint(**MEMBER)
    request = rf.get("/", headers={"authorization": f"Bearer {token}"})
    response: Any = JWTRoleMiddleware(view)(request)
    between = [acting() for _ in response.streaming_content]

    assert between == [UNSET, UNSET]
    assert [identity.role for identity in seen] == ["member", "member"]
