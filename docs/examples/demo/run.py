"""Watch two tenants read and write one table through Django and through SQLAlchemy.

``python docs/examples/demo/run.py``, or ``nox -s demo``. It starts a PostgreSQL of its
own, shows what each may see and do, the SQL that reached the server, and what becomes
of bad tokens; checks all of it, and leaves nothing behind. The exit status is 1 when
anything is not as it should be.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import TYPE_CHECKING

import attacks
import database
import screen
import web
from people import PEOPLE, TENANTS

from jwtrole import acting_as

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType

    from people import Person

    from jwtrole import JWTRole

WHO = PEOPLE[0]


def main() -> int:
    """Run the demo and return the exit status."""
    screen.title()
    with database.running() as shop, contextlib.ExitStack() as leaving:
        migrate()
        # Both read the address of the database when they are imported.
        import with_django  # noqa: PLC0415
        import with_sqlalchemy  # noqa: PLC0415

        orms = (with_django, with_sqlalchemy)
        for orm in orms:
            leaving.callback(orm.close)
        auth = with_sqlalchemy.auth
        fill(with_django, auth)
        wrong = [
            *contents(shop),
            *rights(orms, auth),
            *queries(orms, auth, shop),
            *tokens(),
            *injected(orms, auth, shop),
        ]
    screen.verdict(wrong)
    return 1 if wrong else 0


def migrate() -> None:
    """Make the table with Django's migrations, as its owner."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
    import django  # noqa: PLC0415
    from django.core.management import call_command  # noqa: PLC0415

    django.setup()
    written = io.StringIO()
    call_command("migrate", stdout=io.StringIO())
    call_command("jwtrole", "issuers", "sync", stdout=io.StringIO())
    call_command("sqlmigrate", "shop", "0001", stdout=written)
    screen.migration(written.getvalue())


def fill(orm: ModuleType, auth: JWTRole) -> None:
    """Have everybody write one invoice."""
    for person in PEOPLE:
        with acting_as(auth.verify(person.token)), orm.invoices(keep=True) as invoices:
            invoices.add(person.invoice)


def contents(shop: database.Database) -> list[str]:
    """Show the whole table, and return what is missing in it."""
    rows = shop.everything()
    screen.contents(rows)
    if len(rows) == len(PEOPLE):
        return []
    return [f"the table holds {len(rows)} invoices, not {len(PEOPLE)}"]


def rights(orms: Sequence[ModuleType], auth: JWTRole) -> list[str]:
    """Show what each may see and do, and return what is not as it should be."""
    rows, wrong = [], []
    for person in PEOPLE:
        wanted = should(person)
        for orm in orms:
            with acting_as(auth.verify(person.token)):
                found = does(orm, person)
            rows.append((person, orm.NAME, found))
            wrong += [
                f"{person.name} through {orm.NAME}: {what} is {found[what]!r}, not "
                f"{wanted[what]!r}"
                for what in wanted
                if found[what] != wanted[what]
            ]
    screen.rights(rows)
    return wrong


def does(orm: ModuleType, person: Person) -> dict[str, str]:
    """Try everything, undo it, and return what became of it."""
    own, other = person.invoice, f"{person.other}-1"

    def tried(work: Callable[..., object]) -> str:
        try:
            with orm.invoices(keep=False) as invoices:
                found = work(invoices)
        except orm.ERRORS as error:
            return "no: policy" if "row-level security" in str(error) else "no: grant"
        return found if isinstance(found, str) else ("0 rows", "yes")[bool(found)]

    return {
        "sees": tried(lambda i: "\n".join(i.numbers())),
        "adds": tried(lambda i: i.add("new")),
        "adds to\nother": tried(lambda i: i.add("new", TENANTS[person.other])),
        "renames": tried(lambda i: i.rename(own, "new")),
        "renames\nother's": tried(lambda i: i.rename(other, "new")),
        "deletes": tried(lambda i: i.delete(own)),
    }


def should(person: Person) -> dict[str, str]:
    """Return what must become of what a person tries."""
    change = "yes" if person.role == "manager" else "no: grant"
    return {
        "sees": f"{person.tenant}-1\n{person.tenant}-2",
        "adds": "yes",
        "adds to\nother": "no: policy",
        "renames": change,
        # What a manager does not see, a manager does not find.
        "renames\nother's": "0 rows" if person.role == "manager" else "no: grant",
        "deletes": change,
    }


def queries(
    orms: Sequence[ModuleType], auth: JWTRole, shop: database.Database
) -> list[str]:
    """Show what two transactions with one token send, as the server got it."""
    wrong = []
    for orm in orms:
        # A token that this ORM has not seen yet, and the database neither.
        token = WHO.mint(jti=orm.NAME)
        for function in ("login", "resume"):
            shop.sent()
            with acting_as(auth.verify(token)), orm.invoices(keep=True) as invoices:
                invoices.numbers()
            sent = shop.sent()
            screen.queries(orm.NAME, function, WHO, sent)
            if not any(f"jwtrole.{function}($2)" in statement for statement in sent):
                wrong.append(f"{orm.NAME}: the log shows no {function}: {sent}")
            secrets = (str(TENANTS[WHO.tenant]), token)
            if any(secret in statement for statement in sent for secret in secrets):
                wrong.append(f"{orm.NAME}: a claim or the token stands in the log")
    return wrong


def tokens() -> list[str]:
    """Show what becomes of good and bad tokens, over HTTP."""
    rows, wrong = [], []
    with web.serving() as ask:
        for name, token, expected in web.attempts(WHO):
            answer = ask(token)
            rows.append((name, answer))
            if answer.status != expected:
                wrong.append(f"{name}: answered {answer.status}, not {expected}")
            if WHO.other in answer.body:
                wrong.append(f"{name}: shows the other tenant's rows")
    screen.tokens(rows)
    return wrong


def injected(
    orms: Sequence[ModuleType], auth: JWTRole, shop: database.Database
) -> list[str]:
    """Show what injected SQL opens: a policy on a setting, and not ours."""
    shop.copy_for_others()
    rows = [(orm.NAME, attacks.tried(orm, auth, WHO)) for orm in orms]
    screen.injected(WHO, attacks.injections(WHO)["other claims"], rows)
    wrong = [
        f"{orm}: injected SQL for {what} shows {ours!r}"
        for orm, found in rows
        for what, _, ours in found
        if WHO.other in ours
    ]
    if not all(WHO.other in found[0][1] for _, found in rows):
        wrong.append("the injected statement opens nothing elsewhere either")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
