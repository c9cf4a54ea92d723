"""The benchmark itself: that it runs, and measures what it says."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from tests.benchmarks import __main__ as runner
from tests.benchmarks import measuring
from tests.benchmarks.report import Report

if TYPE_CHECKING:
    from tests.postgres import Server

KEYS = ["HS256", "RS256-2048", "RS256-4096", "PS256-2048", "ES256", "ES384", "EdDSA"]
IN_PYTHON = {"PyJWT decode": 0, "JWTRole.verify": 0, "login": 1}
MODES = ("WHERE by hand", "application mode", "database mode")
DEFAULTED = tuple(f"{mode}, tenant by default" for mode in MODES[1:])

#: Group, section, row -> how many rows each of its queries must find.
EXPECTED = {
    "begin": {
        "whole transactions, against an empty one": {
            "empty transaction": 1,
            "application mode: set_config": 1,
            "anonymous": 1,
            "resume": 1,
            "application mode + one claim": 1,
            "resume + one claim": 1,
            **{f"login {name}": 1 for name in KEYS},
        },
        **{f"one {name} token, against PyJWT": IN_PYTHON for name in KEYS},
    },
    "claim": {
        "one call, against reading a setting": {
            "current_setting": 1000,
            "current_setting, one key of it": 1000,
            "application mode: claim()": 1000,
            "claim()": 1000,
            "claims()": 1000,
            "subject()": 1000,
            "sealed()": 1000,
        }
    },
    "rows": {
        "index-only count of one tenant": dict.fromkeys(MODES, 1000),
        "read of one tenant's rows": dict.fromkeys(MODES, 1000),
        "read of one tenant's rows, by psycopg": dict.fromkeys(MODES, 1000),
        "primary key": dict.fromkeys(MODES, 1),
        "primary key, not prepared": dict.fromkeys(MODES, 1),
        "sequential scan of all": dict.fromkeys(MODES, 1000),
        "parallel scan of all": dict.fromkeys(MODES, 1000),
        "insert of 1,000 rows": dict.fromkeys((*MODES, *DEFAULTED), 1000),
    },
}


def test_all_is_measured_and_each_query_finds_its_rows(server: Server) -> None:
    """A tiny run measures every row of every table, on the right rows and plans."""
    output = io.StringIO()

    tables = runner.measure(server, Report(output), list(runner.GROUPS), 3000, 2)

    found = {
        table.title: {
            section.title: {
                name: {reading.rows for reading in one.readings}
                for name, one in section.measured.items()
            }
            for section in table.sections
        }
        for table in tables
    }
    assert found == {
        group: {
            section: {name: {rows} for name, rows in names.items()}
            for section, names in sections.items()
        }
        for group, sections in EXPECTED.items()
    }
    plans = {
        section.title: [one.note for one in section.measured.values()]
        for section in tables[-1].sections
    }
    assert all("Seq Scan" in plan for plan in plans["sequential scan of all"])
    assert all("Gather" in plan for plan in plans["parallel scan of all"])
    _shown(output.getvalue(), tables)


def _shown(text: str, tables: list[measuring.Table]) -> None:
    """Assert that each row and each aim stands in what is printed."""
    lines = text.splitlines()
    assert max(map(len, lines)) <= 100
    flat = " ".join(text.split())
    for table in tables:
        for section in table.sections:
            assert section.title.split(",")[0] in flat
            for name in section.measured:
                assert any(line.startswith(f"    {name} ") for line in lines), name
        for aim in table.aims:
            assert aim.text in flat


def test_a_wrong_answer_ends_the_run() -> None:
    """What finds another number of rows than it should is not measured but refused."""

    class Wrong:
        name, rows, note = "wrong", 2, ""

        def measure(self) -> measuring.Reading:
            return measuring.Reading(1.0, 1.0, 1)

    with pytest.raises(measuring.WrongAnswer, match="wrong: 1 rows and not 2"):
        measuring.interleave([Wrong()], 1, 1.0)
