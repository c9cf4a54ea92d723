"""From what a user attaches to the engines that statements go through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Engine

from jwtrole.errors import ConfigurationError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker
    from sqlalchemy.orm import sessionmaker

__all__ = ["Attachable", "engines_of"]

_DRIVERS = ("psycopg", "asyncpg", "psycopg2")

Attachable = TypeVar(
    "Attachable",
    bound="Engine | AsyncEngine | sessionmaker[Any] | async_sessionmaker[Any]",
)


def engines_of(target: object) -> list[Engine]:
    """Return the engines behind an engine or a sessionmaker, sync or async.

    Raises:
        ConfigurationError: There is none, or one that cannot be protected.
    """
    # The asynchronous kinds are told by what they have: to import them takes greenlet,
    # which a synchronous application need not have.
    keywords, sync = getattr(target, "kw", None), getattr(target, "sync_engine", None)
    if isinstance(keywords, dict):
        binds = [keywords.get("bind"), *(keywords.get("binds") or {}).values()]
        found = [bind for bind in binds if bind is not None]
        if not found:
            msg = "This sessionmaker has no bind: give it one, or attach its engine."
            raise ConfigurationError(msg)
        return [engine for bind in found for engine in engines_of(bind)]
    engine = target if sync is None else sync
    if isinstance(engine, Engine):
        return [_checked(_root(engine))]
    msg = (
        "attach() takes an engine, an async engine or a sessionmaker bound to one, not "
        f"{type(target).__name__}: attach the engine."
    )
    raise ConfigurationError(msg)


def _root(engine: Engine) -> Engine:
    # What Engine.execution_options() returns has its parent's listeners, its parent
    # not those of the child: were the child attached alone, the parent would stay
    # open. There is no public way from the one to the other.
    while (parent := getattr(engine, "_proxied", None)) is not None:
        engine = parent
    return engine


def _checked(engine: Engine) -> Engine:
    name, driver = engine.dialect.name, engine.dialect.driver
    if name != "postgresql" or driver not in _DRIVERS:
        msg = (
            f"attach() cannot protect {name}+{driver}: use postgresql with psycopg, "
            "asyncpg or psycopg2."
        )
        raise ConfigurationError(msg)
    return engine
