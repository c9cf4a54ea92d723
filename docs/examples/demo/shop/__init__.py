"""Invoices of many tenants in one table."""
