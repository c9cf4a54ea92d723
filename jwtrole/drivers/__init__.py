"""Drivers of PostgreSQL: the only part of the core that knows any of them."""
