"""Explicit promises: the customer was told a time."""
