"""Django's commands, on the owner's alias."""
