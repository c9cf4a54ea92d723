"""The fetching of a small document that decides who may do what.

It comes over https alone (plain http from this very machine), from the URL itself and
from nowhere it redirects to. The proxies of the environment (``HTTPS_PROXY``,
``NO_PROXY``) are used, for TLS goes through them end to end; an address of this
machine bypasses them.
"""

from __future__ import annotations

import http
import ipaddress
import re
import ssl
import threading
import time
import urllib.parse
import urllib.request
from concurrent.futures import Future

from jwtrole.errors import ConfigurationError

__all__ = ["MAX_BYTES", "check_uri", "download"]

#: The largest answer that is read, in bytes.
MAX_BYTES = 256 * 1024

_CHUNK_BYTES = 16 * 1024

# Printable ASCII without the space, the backslash and the fragment's mark.
_URL = re.compile(r'[!"$-\[\]-~]+')


def check_uri(uri: object) -> tuple[str, bool]:
    """Return a URL that keys may come from, and whether it is on this machine.

    Raises:
        ConfigurationError: It is neither https nor, on this machine, http; or it holds
            a user, a fragment, or a character that stands in no URL.
    """
    local = _place(uri) if isinstance(uri, str) else None
    if isinstance(uri, str) and local is not None:
        return uri, local
    # Before an @ there may stand a password.
    shown = "the one given" if "@" in str(uri) else repr(uri)
    msg = (
        f"jwks_uri cannot be {shown}: it must be an https URL without user and "
        "fragment, or an http one of this very machine (127.0.0.1, ::1, localhost)."
    )
    raise ConfigurationError(msg)


def _place(uri: str) -> bool | None:
    """Say whether a URL is on this machine; ``None`` where it is not acceptable."""
    try:
        parts = urllib.parse.urlsplit(uri)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return None
    if not host or "@" in parts.netloc or not _URL.fullmatch(uri):
        return None
    local = host == "localhost" or _is_loopback(host)
    schemes = {"http", "https"} if local else {"https"}
    return local if parts.scheme in schemes else None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def download(uri: str, timeout: float, *, local: bool) -> bytes:
    """Read a URL within a time that holds for name look-up, TLS and body together.

    A socket's own timeout starts anew with each byte, so a thread does the reading
    and is waited for only so long.
    """
    answer: Future[bytes] = Future()
    threading.Thread(
        target=_answer,
        args=(answer, uri, timeout),
        kwargs={"local": local},
        name="jwtrole-fetch",
        daemon=True,
    ).start()
    return answer.result(timeout)


def _answer(answer: Future[bytes], uri: str, timeout: float, *, local: bool) -> None:
    try:
        answer.set_result(_read(uri, timeout, local=local))
    except Exception as error:  # noqa: BLE001  raised again in the waiting thread
        answer.set_exception(error)


def _read(uri: str, timeout: float, *, local: bool) -> bytes:
    deadline = time.monotonic() + timeout
    request = urllib.request.Request(  # noqa: S310  the scheme has been checked
        uri, headers={"Accept": "application/jwk-set+json, application/json"}
    )
    data = b""
    with _opener(local=local).open(request, timeout=timeout) as response:
        if response.status != http.HTTPStatus.OK:
            msg = f"status {response.status} (redirects are not followed)"
            raise OSError(msg)
        while chunk := response.read1(_CHUNK_BYTES):
            data += chunk
            if len(data) > MAX_BYTES:
                msg = f"the answer is over {MAX_BYTES} bytes"
                raise OSError(msg)
            if time.monotonic() > deadline:
                raise TimeoutError
    return data


def _opener(*, local: bool) -> urllib.request.OpenerDirector:
    # Built by hand: the ready-made one follows redirects and opens files and ftp.
    opener = urllib.request.OpenerDirector()
    opener.add_handler(urllib.request.HTTPHandler())
    context = ssl.create_default_context()
    opener.add_handler(urllib.request.HTTPSHandler(context=context))
    if not local:
        opener.add_handler(urllib.request.ProxyHandler())
    return opener
