"""What django_jwtrole itself installs in the database."""
