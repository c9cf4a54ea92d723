"""What the demo shows, in tables that fit 100 columns."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.panel import Panel
from rich.syntax import Syntax
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from people import Person
    from web import Answer

WIDTH = 100

console = Console(highlight=False)
# A pipe has no width, and a wide terminal makes lines too long to read.
console.width = min(console.width, WIDTH) if console.is_terminal else WIDTH


def title() -> None:
    """Say what is about to be seen."""
    console.print(
        Panel(
            "Two tenants, red and blue, keep their invoices in one table. Members may "
            "read and add, managers may also rename and delete. No query names a "
            "tenant: the token does.",
            title="jwtrole",
            border_style="cyan",
        )
    )


def _heading(number: int, text: str) -> None:
    console.print(f"\n[bold cyan]{number}. {text}[/]\n")


def _coloured(outcome: str) -> str:
    colour = {"no": "red", "0 ": "yellow"}.get(outcome[:2], "green")
    return f"[{colour}]{outcome}[/]"


def migration(text: str) -> None:
    """Show what Django's migration did besides creating the table."""
    _heading(1, "What makemigrations wrote for the model, besides the table")
    wanted = ("ALTER", "CREATE POLICY", "GRANT")
    lines = [line for line in text.splitlines() if line.startswith(wanted)]
    shown = "\n".join(lines).replace(" FOR ALL TO", " FOR ALL\n    TO")
    shown = shown.replace(" USING", "\n    USING")
    console.print(_sql(shown))


def contents(rows: Sequence[tuple[str, str]]) -> None:
    """Show the whole table."""
    _heading(2, "The whole table, as a superuser sees it past row security")
    table = Table("number", "tenant_id", box=box.SIMPLE_HEAD)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _sql(text: str) -> Syntax:
    return Syntax(text, "sql", theme="ansi_dark", word_wrap=True)


def rights(rows: Sequence[tuple[Person, str, dict[str, str]]]) -> None:
    """Show what each person saw and did through each ORM."""
    _heading(3, "What each sees and may write, through both ORMs")
    what = list(rows[0][2])
    narrow = console.width < 90  # noqa: PLR2004  columns of a terminal
    table = Table(box=box.SIMPLE_HEAD, padding=0 if narrow else (0, 1))
    for name in ("who", "through", *what):
        table.add_column(name, no_wrap=True)
    for position, (person, orm, found) in enumerate(rows):
        first = position == 0 or rows[position - 1][0] is not person
        who = f"[bold]{person.name}[/]\n{person.tenant} {person.role}" if first else ""
        table.add_row(who, orm, *(_coloured(found[name]) for name in what))
        last = position + 1 == len(rows) or rows[position + 1][0] is not person
        if last:
            table.add_section()
    console.print(table)
    console.print(
        "  no: grant   the role may not do that at all (GRANT)\n"
        "  no: policy  the row would belong to the other tenant (row-level security)\n"
        "  0 rows      the rows of the other tenant are not there to be changed"
    )


def queries(orm: str, function: str, person: Person, sent: Sequence[str]) -> None:
    """Show what reached the server."""
    if orm == "Django" and function == "login":
        _heading(4, f"What the server got when {person.name} listed the invoices")
    text = ";\n".join(sent) + ";"
    for column in ("pg_catalog", "l.ticket", "extract"):
        text = text.replace(f", {column}", f",\n       {column}")
    text = text.replace(" FROM jwtrole", "\nFROM jwtrole")
    when = {"login": "the first time", "resume": "from then on"}[function]
    console.print(Panel(_sql(text), title=f"through {orm}, {when}", title_align="left"))
    if orm != "Django" and function == "resume":
        console.print(
            "  PostgreSQL verifies the token's signature, once, and hands out a "
            "ticket, good for five minutes.\n  $1 is a name for the log, $2 the token "
            "or the ticket. Their values travel beside the text and\n  stand in no "
            "log. COMMIT takes role and claims away."
        )


def tokens(rows: Sequence[tuple[str, Answer]]) -> None:
    """Show what became of each token."""
    _heading(5, "What becomes of a token, over HTTP")
    table = Table("token", "status", "answer", box=box.SIMPLE_HEAD, padding=(0, 1))
    for name, answer in rows:
        colour = "green" if answer.status == 200 else "red"  # noqa: PLR2004
        said = json.loads(answer.body)
        shown = said.get("detail") or f"invoices {', '.join(said['invoices'])}"
        table.add_row(name, f"[{colour}]{answer.status}[/]", shown)
    console.print(table)


def injected(
    person: Person,
    text: str,
    rows: Sequence[tuple[str, Sequence[tuple[str, str, str]]]],
) -> None:
    """Show what came of injected SQL."""
    _heading(6, f"What {person.name} sees after typing SQL into a search field")
    shown = text.replace("; ", ";\n").replace(", set_config", ",\n       set_config")
    console.print(Panel(_sql(shown), title="other claims", title_align="left"))
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
    for name in ("through", "injected", "a policy on a setting", "the policy here"):
        table.add_column(name)
    for orm, found in rows:
        for what, elsewhere, ours in found:
            colours = [
                "red" if person.other in one else "green" for one in (elsewhere, ours)
            ]
            table.add_row(
                orm,
                what,
                *(
                    f"[{c}]{one}[/]"
                    for c, one in zip(colours, (elsewhere, ours), strict=True)
                ),
            )
        table.add_section()
    console.print(table)


def verdict(wrong: Sequence[str]) -> None:
    """Say whether all was as it should be."""
    if not wrong:
        console.print(
            "[bold green]All of it was checked:[/] nobody saw, changed or added a row "
            "of the other tenant,\nwith injected SQL neither."
        )
        return
    console.print("[bold red]Not as it should be:[/]")
    for line in wrong:
        console.print(f"  {line}", markup=False)
