"""Tells somebody: what promises and standards say becomes notifications that reach the right people, once."""
