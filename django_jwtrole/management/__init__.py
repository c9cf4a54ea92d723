"""Management commands, each on the alias that may do what it does."""
