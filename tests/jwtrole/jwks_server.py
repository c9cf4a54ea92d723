"""A real HTTP server on this machine that publishes keys, well or badly."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator


class JWKSServer(http.server.ThreadingHTTPServer):
    """Answer each GET as told, and count them.

    ``drip`` sends the body byte by byte, a pause before each; ``endless`` does so with
    a header that never ends; ``hold`` keeps an answer back until :attr:`release` is
    set.
    """

    def __init__(self, keys: list[Any]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body = b""
        self.publish(*keys)
        self.drip = 0.0
        self.endless = False
        self.hold = False
        self.release = threading.Event()
        self.arrived = threading.Event()
        self.stopped = threading.Event()
        self.seen: list[tuple[str, Any]] = []

    @property
    def url(self) -> str:
        """Return where the keys are published."""
        return f"http://127.0.0.1:{self.server_port}/jwks.json"

    @property
    def count(self) -> int:
        """Return how many requests there have been."""
        return len(self.seen)

    def publish(self, *keys: Any) -> None:
        """Publish these keys from now on."""
        self.body = json.dumps({"keys": list(keys)}).encode()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: JWKSServer

    def do_GET(self) -> None:
        """Answer."""
        server = self.server
        server.seen.append((self.path, self.headers))
        server.arrived.set()
        if server.hold:
            server.release.wait(5)
        if server.endless:
            self._never_end()
            return
        self.send_response(server.status)
        for name, value in server.headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(server.body)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self._write()

    def do_CONNECT(self) -> None:
        """Refuse to be a proxy, having counted."""
        self.server.seen.append((self.path, self.headers))
        self.send_error(403)

    def _write(self) -> None:
        server = self.server
        if not server.drip:
            self.wfile.write(server.body)
            return
        for byte in server.body:
            if server.stopped.wait(server.drip):
                return
            self.wfile.write(bytes([byte]))

    def _never_end(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nx-header: ")
        while not self.server.stopped.wait(0.05):
            self.wfile.write(b"x")

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


@contextlib.contextmanager
def serving(*keys: Any, tls: ssl.SSLContext | None = None) -> Iterator[JWKSServer]:
    """Publish keys at a URL for the length of a block."""
    server = JWKSServer(list(keys))
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.stopped.set()
        server.release.set()
        server.shutdown()
        thread.join()
        server.server_close()
        fetches_over()


def fetches_over() -> None:
    """Wait until no thread is fetching any more."""
    for thread in threading.enumerate():
        if thread.name == "jwtrole-fetch":
            thread.join(5)
            assert not thread.is_alive()
