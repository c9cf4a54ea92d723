"""``jwtrole bootstrap --auth``: the roles that a configuration declares."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import pytest

from jwtrole.cli import main
from jwtrole.roles import bootstrap_line
from tests.family import Family, family

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.postgres import Server

CONFIGURATION = """
from jwtrole import Issuer, JWTRole, Role

auth = JWTRole(
    [Issuer("https://id.test/", audience="a", secret="s" * 32, algorithms=["HS256"])],
    roles={{"m": Role("{member}", inherits=["{reader}"]), "n": "{manager}"}},
    anonymous={anonymous},
)
"""


@pytest.fixture
def kin(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Family]:
    """Return roles of the test's own, and a module that declares them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    with family(server) as found:
        write(tmp_path, found)
        yield found
    sys.modules.pop("cli_roles", None)


def write(place: Path, kin: Family, anonymous: str = "None") -> None:
    """Write the module, anew where it is there."""
    sys.modules.pop("cli_roles", None)
    text = CONFIGURATION.format(
        member=kin.member, reader=kin.reader, manager=kin.manager, anonymous=anonymous
    )
    (place / "cli_roles.py").write_text(text)


def words(kin: Family, *more: str) -> list[str]:
    """Return the command for an owner and a login of the test's own."""
    return [
        "bootstrap", "--owner", kin.owner, "--login", kin.login,
        "--auth", "cli_roles:auth", *more,
    ]  # fmt: skip


def test_roles_come_from_a_configuration(kin: Family) -> None:
    """With --apply they are made, inheritance and all; told twice nothing changes."""
    kin.bootstrap(kin.reader, kin.member)
    assert kin.members() == set()

    for _ in range(2):
        assert main(words(kin, "--apply", "--dsn", kin.server.dsn)) == 0
        assert kin.members() == {(kin.reader, kin.member)}


def test_flags_add_to_a_configuration(
    kin: Family, capsys: pytest.CaptureFixture[str]
) -> None:
    """More roles, and more than one login; a role named twice is made once."""
    more = ("--role", "extra", "--role", kin.member, "--login", "other_login")
    assert main(words(kin, *more, "--anonymous", "visitor")) == 0

    made = re.findall(r'CREATE ROLE "(.*)";', capsys.readouterr().out)
    assert made == [
        "jwtrole_owner", kin.owner, "extra", kin.member, "visitor", kin.manager,
        kin.reader, kin.login, "other_login",
    ]  # fmt: skip


@pytest.mark.parametrize("anonymous", ['"visitor"', 'Role("visitor")', '"{}"'])
def test_the_anonymous_role_comes_from_a_configuration(
    kin: Family, tmp_path: Path, capsys: pytest.CaptureFixture[str], anonymous: str
) -> None:
    """It is made as the others are, also where a token may name it as well."""
    write(tmp_path, kin, anonymous.format(kin.manager))
    assert main(words(kin)) == 0

    name = "visitor" if "visitor" in anonymous else kin.manager
    assert capsys.readouterr().out.count(f'CREATE ROLE "{name}";') == 1


def test_nothing_to_make_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither --auth nor --role is a mistake, not an empty list."""
    assert main(["bootstrap", "--owner", "o", "--login", "l"]) == 1
    assert "give --auth, --role or both" in capsys.readouterr().err


def test_the_line_that_messages_show_is_a_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What is not known of it stands in capitals; odd names are quoted."""
    line = bootstrap_line(owner="own", logins=[], roles=["it's"])

    assert line == (
        """jwtrole bootstrap --owner own --login LOGIN --role 'it'"'"'s' """
        "--apply --dsn DSN"
    )
    assert "--role ROLE" in bootstrap_line(owner="own", logins=["l"], roles=[])
    assert main(["bootstrap", "--owner", "own", "--login", "l", "--role", "r"]) == 0
    assert 'CREATE ROLE "r"' in capsys.readouterr().out
