"""Real servers and real hosts for the tests: databases in temporary folders, hosts in containers behind SSH."""

from __future__ import annotations

from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
CACHE = PROJECT / ".hosting-alembic" / "cache"
