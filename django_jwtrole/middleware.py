"""A request's bearer token decides who is acting while it is served."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import FileResponse, HttpResponse, StreamingHttpResponse

from django_jwtrole.conf import auth
from jwtrole.bearer import bearer_token, refusal
from jwtrole.context import acting_as
from jwtrole.errors import JWTRoleError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from jwtrole.identity import Identity

    Sync = Callable[[HttpRequest], HttpResponseBase]
    Async = Callable[[HttpRequest], Awaitable[HttpResponseBase]]

__all__ = ["JWTRoleMiddleware"]


class JWTRoleMiddleware:
    """Verify the bearer token of each request and act as its holder.

    A bad token is answered with 401 before the view runs, a role outside the list with
    403, keys that cannot be fetched with 503 (RFC 6750, section 3). Without a token the
    anonymous role acts, or nobody: then the first statement is refused with a 401. The
    identity is in force until the last piece of a streamed body; the view finds it in
    ``request.jwtrole_identity``.

    It stands first in ``MIDDLEWARE``, before whatever uses the database.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Sync | Async) -> None:
        self.get_response = get_response
        self._async = iscoroutinefunction(get_response)
        if self._async:
            markcoroutinefunction(self)

    def __call__(
        self, request: HttpRequest
    ) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Serve one request."""
        if self._async:
            return self._serve(request)
        try:
            token = bearer_token(_headers(request))
            identity = auth().verify(token) if token else auth().anonymous
        except JWTRoleError as error:
            return _refused(error)
        with acting_as(identity):
            request.jwtrole_identity = identity  # type: ignore[attr-defined]
            response = cast("Sync", self.get_response)(request)
        return _streamed(response, identity)

    async def _serve(self, request: HttpRequest) -> HttpResponseBase:
        try:
            token = bearer_token(_headers(request))
            identity = await auth().verify_async(token) if token else auth().anonymous
        except JWTRoleError as error:
            return _refused(error)
        async with acting_as(identity):
            request.jwtrole_identity = identity  # type: ignore[attr-defined]
            response = await cast("Async", self.get_response)(request)
        return _streamed(response, identity)

    def process_exception(
        self, request: HttpRequest, exception: Exception
    ) -> HttpResponse | None:
        """Answer what a view's database access was refused for, as for the token."""
        if isinstance(exception, JWTRoleError) and _is_answer(exception):
            return _refused(exception)
        return None


def _headers(request: HttpRequest) -> list[str]:
    # Servers join repeated headers with a comma, which no token holds.
    value = request.META.get("HTTP_AUTHORIZATION")
    return [] if value is None else [value]


def _is_answer(error: JWTRoleError) -> bool:
    # Any other is a 500: the application's own fault, which belongs in the log.
    return error.status in {401, 403, 503}


def _refused(error: JWTRoleError) -> HttpResponse:
    if not _is_answer(error):
        raise error
    answer = refusal(error)
    return HttpResponse(answer.body, status=answer.status, headers=dict(answer.headers))


def _streamed(
    response: HttpResponseBase, identity: Identity | None
) -> HttpResponseBase:
    # A file has no need of the database, and servers send it without us.
    if isinstance(response, StreamingHttpResponse) and not isinstance(
        response, FileResponse
    ):
        body = response.streaming_content
        response.streaming_content = (
            _async_pieces(cast("AsyncIterator[bytes]", body), identity)
            if response.is_async
            else _pieces(cast("Iterator[bytes]", body), identity)
        )
    return response


def _pieces(body: Iterator[bytes], identity: Identity | None) -> Iterator[bytes]:
    # Whoever consumes the body keeps its own context between two pieces.
    while True:
        with acting_as(identity):
            try:
                piece = next(body)
            except StopIteration:
                return
        yield piece


async def _async_pieces(
    body: AsyncIterator[bytes], identity: Identity | None
) -> AsyncIterator[bytes]:
    while True:
        with acting_as(identity):
            try:
                piece = await anext(body)
            except StopAsyncIteration:
                return
        yield piece
