"""The faults happen to the hosts and databases of the integration tests."""

from __future__ import annotations

from tests.integration.conftest import more_postgres, newest_virtualenv, postgres, site, sqlite, targets

__all__ = ["more_postgres", "newest_virtualenv", "postgres", "site", "sqlite", "targets"]
