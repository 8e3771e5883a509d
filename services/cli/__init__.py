"""The `puntual` command: for developers who publish, operators who ask, and anybody who wants to see it run."""
