"""Plumbing used by two services or more, each module named after one noun. Never a domain concept."""
