"""Real servers and real hosts for the tests: PostgreSQL in a temporary folder, hosts in containers behind SSH."""

from __future__ import annotations

from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
CACHE = PROJECT / ".hosting-alembic" / "cache"
