"""Which ids are one customer's: what upstream systems say of it, and what every worker knows of it."""
