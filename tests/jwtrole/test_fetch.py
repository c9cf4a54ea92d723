"""The fetching of a small document, over real sockets."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
import time
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from jwtrole.errors import ConfigurationError
from jwtrole.fetch import MAX_BYTES, check_uri, download
from tests.jwtrole.jwks_server import JWKSServer, fetches_over, serving
from tests.jwtrole.making import private_key, private_pem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def server() -> Iterator[JWKSServer]:
    """Return a server of this test's own."""
    with serving() as found:
        yield found


@pytest.mark.parametrize(
    "uri",
    [
        "https://id.example.com/.well-known/jwks.json",
        "https://id.example.com:8443/a@b?tenant=1",
        "HTTPS://id.example.com/",
        "https://[2001:db8::1]/jwks",
    ],
)
def test_https_is_accepted(uri: str) -> None:
    """Keys may come over https from anywhere."""
    assert check_uri(uri) == (uri, False)


@pytest.mark.parametrize(
    "uri",
    [
        "http://localhost:8000/jwks",
        "http://127.0.0.1/jwks",
        "http://127.8.9.10:1/",
        "http://[::1]:8000/",
        "https://localhost/",
    ],
)
def test_this_machine_is_accepted(uri: str) -> None:
    """Plain http is for this very machine, which no proxy is asked for."""
    assert check_uri(uri) == (uri, True)


@pytest.mark.parametrize(
    "uri",
    [
        "http://id.example.com/jwks",
        "http://10.0.0.1/jwks",
        "http://0.0.0.0/jwks",
        "http://localhost.example.com/",
        "http://127.0.0.1.example.com/",
        "http://127.1/",
        "http://2130706433/",
        "file:///etc/passwd",
        "ftp://127.0.0.1/jwks",
        "data:application/json,{}",
        "//id.example.com/jwks",
        "https:///jwks",
        "https://",
        "https:",
        "jwks.json",
        "",
        "https://id.example.com/jwks#keys",
        "https://id.example.com/a b",
        "https://id.example.com/\n",
        " https://id.example.com/",
        "https://id.example.com\\@evil.test/",
        "https://\u00e4.example.com/",
        "https://id.example.com:port/",
        "https://id.example.com:99999/",
        "https://[::1/",
    ],
)
def test_another_url_is_refused(uri: str) -> None:
    """Plain http elsewhere, other schemes and odd characters are refused."""
    with pytest.raises(ConfigurationError, match="must be an https URL") as caught:
        check_uri(uri)
    assert repr(uri) in str(caught.value) or "@" in uri


@pytest.mark.parametrize("uri", [None, 7, b"https://id.example.com/"])
def test_a_url_is_a_string(uri: object) -> None:
    """Another type is refused."""
    with pytest.raises(ConfigurationError, match="must be an https URL"):
        check_uri(uri)


def test_a_url_with_a_user_is_refused_unshown() -> None:
    """A password in a URL is refused, and not repeated in the error."""
    with pytest.raises(ConfigurationError) as caught:
        check_uri("https://user:hunter2@id.example.com/")
    assert "hunter2" not in str(caught.value)


def test_a_document_is_read(server: JWKSServer) -> None:
    """What the server sends is what is returned."""
    assert download(server.url, 5, local=True) == server.body
    [(path, headers)] = server.seen
    assert path == "/jwks.json"
    assert "application/jwk-set+json" in headers["accept"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(server: JWKSServer, status: int) -> None:
    """Keys come from the configured place or not at all."""
    server.status = status
    server.headers = {"location": "/elsewhere"}
    with pytest.raises(OSError, match=f"status {status}"):
        download(server.url, 5, local=True)
    assert server.count == 1


@pytest.mark.parametrize("status", [201, 204, 304, 404, 500, 503])
def test_another_status_is_an_error(server: JWKSServer, status: int) -> None:
    """Only 200 is an answer, whatever comes with another status."""
    server.status = status
    with pytest.raises(OSError, match=f"status {status}"):
        download(server.url, 5, local=True)


def test_the_largest_document_is_read(server: JWKSServer) -> None:
    """The limit itself is within the limit."""
    server.body = b"x" * MAX_BYTES
    assert len(download(server.url, 5, local=True)) == MAX_BYTES == 256 * 1024


def test_a_larger_document_is_an_error(server: JWKSServer) -> None:
    """Reading stops at the limit."""
    server.body = b"x" * (MAX_BYTES + 1)
    with pytest.raises(OSError, match="over 262144 bytes"):
        download(server.url, 5, local=True)


def test_the_time_holds_for_the_whole(server: JWKSServer) -> None:
    """A server that sends a byte now and then does not hold us up."""
    server.drip = 0.05
    server.body = b"x" * 200
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        download(server.url, 0.2, local=True)
    assert 0.15 < time.monotonic() - began < 2
    # The thread that reads gives up by itself, though bytes keep coming.
    fetches_over()
    assert time.monotonic() - began < 5
    assert not server.stopped.is_set()


def test_the_time_holds_for_the_headers(server: JWKSServer) -> None:
    """Headers that never end hold us up no longer than a body."""
    server.endless = True
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        download(server.url, 0.2, local=True)
    assert time.monotonic() - began < 2


def test_a_server_that_says_nothing_is_an_error(server: JWKSServer) -> None:
    """The time holds before the first byte as well."""
    server.hold = True
    with pytest.raises(OSError, match=r"timed out|^$"):
        download(server.url, 0.2, local=True)


def test_no_server_is_an_error() -> None:
    """A refused connection is an error like the others."""
    with serving() as server:
        url = server.url
    with pytest.raises(OSError, match="refused"):
        download(url, 5, local=True)


def test_this_machine_bypasses_proxies(
    server: JWKSServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy of the environment is not asked for this machine."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    assert download(server.url, 5, local=True) == server.body


def test_the_proxy_of_the_environment_is_used(
    server: JWKSServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Elsewhere TLS goes through the configured proxy, end to end."""
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(OSError, match="403"):
        download("https://id.example.invalid/jwks", 5, local=False)
    assert [path for path, _ in server.seen] == ["id.example.invalid:443"]


def _certificate(subject: str, issuer: Any, *, ca: bool) -> Any:
    key = private_key("ES256", 7 if ca else 8)
    signer = private_key("ES256", 7)
    day = dt.datetime.now(dt.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)])
    usage = dict.fromkeys(
        [
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ],
        False,
    )
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name if issuer is None else issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(day - dt.timedelta(days=1))
        .not_valid_after(day + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca, None), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True, key_cert_sign=ca, crl_sign=ca, **usage
            ),
            critical=True,
        )
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()),
            critical=False,
        )
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(signer, hashes.SHA256())
    )


@pytest.fixture
def tls_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, Path]]:
    """Return the URL of a server with TLS, and the file of its authority."""
    authority = _certificate("authority", None, ca=True)
    leaf = _certificate("server", authority, ca=False)
    files = tmp_path / "server.pem"
    files.write_bytes(
        private_pem(private_key("ES256", 8)) + leaf.public_bytes(Encoding.PEM)
    )
    trusted = tmp_path / "authority.pem"
    trusted.write_bytes(authority.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files)
    with serving(tls=context) as server:
        yield server.url.replace("http:", "https:"), trusted


def test_a_trusted_certificate_is_accepted(
    tls_server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """TLS works with the authorities the machine trusts."""
    url, trusted = tls_server
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    assert download(url, 5, local=True) == b'{"keys": []}'


def test_an_unknown_certificate_is_an_error(tls_server: tuple[str, Path]) -> None:
    """Nobody else's certificate is accepted, on this machine neither."""
    with pytest.raises(OSError, match="certificate verify failed"):
        download(tls_server[0], 5, local=True)


def test_a_certificate_for_another_host_is_an_error(
    tls_server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate is checked against the host that was asked."""
    url, trusted = tls_server
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    with pytest.raises(OSError, match="certificate verify failed"):
        download(url.replace("127.0.0.1", "localhost"), 5, local=True)
