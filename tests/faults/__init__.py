"""Faults, each injected for real into a run: afterwards a database is old, new, or held, and nothing is lost."""
