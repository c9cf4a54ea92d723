"""WSGI middleware: a request's bearer token decides who is acting while it is served.

Pure WSGI (PEP 3333): it wraps Flask, Pyramid, Bottle or Django alike. The server
iterates the body after the application has returned, so that the identity is put on
again for each piece of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self

from jwtrole.bearer import bearer_token, refusal
from jwtrole.context import acting_as
from jwtrole.errors import JWTRoleError

if TYPE_CHECKING:
    from jwtrole.identity import Identity
    from jwtrole.tokens import JWTRole

__all__ = ["JWTRoleMiddleware"]

Environ = dict[str, Any]
StartResponse = Callable[..., Callable[[bytes], object]]
WSGIApp = Callable[[Environ, StartResponse], Iterable[bytes]]


class JWTRoleMiddleware:
    """Verify the bearer token of each request and act as it.

    A bad token is answered with 401 before the application runs, a role outside the
    list with 403, keys that cannot be fetched with 503 (RFC 6750, section 3). Without
    a token the application runs as nobody: the first statement is refused or runs as
    the anonymous role, as configured.

    Args:
        app: The application to wrap.
        auth: The issuers to trust and the roles they may name.
    """

    def __init__(self, app: WSGIApp, auth: JWTRole) -> None:
        self.app = app
        self.auth = auth

    def __call__(
        self, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Serve one request."""
        answer = _Answer(start_response)
        try:
            identity = self._identity(environ)
            with acting_as(identity):
                body = self.app(environ, answer)
        except JWTRoleError as error:
            return [answer.refuse(error)]
        if isinstance(body, list | tuple):
            # Made already; the server reads the length of a whole body off it.
            return body
        return _Body(body, identity, answer)

    def _identity(self, environ: Environ) -> Identity | None:
        # A WSGI server joins repeated headers with a comma, which no token holds, so
        # that two of them are one bad one.
        value = environ.get("HTTP_AUTHORIZATION")
        token = bearer_token([] if value is None else [value])
        return None if token is None else self.auth.verify(token)


class _Answer:
    """Pass the start of the answer on, or refuse the request before there is one."""

    def __init__(self, start_response: StartResponse) -> None:
        self._start_response = start_response
        self._begun = False

    def __call__(self, *args: Any) -> Callable[[bytes], object]:
        self._begun = True
        return self._start_response(*args)

    def refuse(self, error: JWTRoleError) -> bytes:
        """Answer with a refusal and return its body, or raise where that is too late.

        What broke the configuration is raised as well: a 500, which belongs in the log.
        """
        ours = error.status < 500 or error.status == 503  # noqa: PLR2004
        if self._begun or not ours:
            raise error
        answer = refusal(error)
        status = f"{answer.status} {HTTPStatus(answer.status).phrase}"
        self._start_response(status, list(answer.headers))
        return answer.body


class _Body:
    """Iterate a body, each piece made under the request's identity."""

    def __init__(
        self, body: Iterable[bytes], identity: Identity | None, answer: _Answer
    ) -> None:
        self._body = body
        self._identity = identity
        self._answer = answer
        self._pieces: Iterator[bytes] | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        try:
            with acting_as(self._identity):
                if self._pieces is None:
                    self._pieces = iter(self._body)
                return next(self._pieces)
        except JWTRoleError as error:
            # A generator starts here, not when it was called.
            self._pieces = iter(())
            return self._answer.refuse(error)

    def close(self) -> None:
        """Close the application's body, as PEP 3333 asks of whoever wraps one."""
        close = getattr(self._body, "close", None)
        if close is not None:
            with acting_as(self._identity):
                close()
