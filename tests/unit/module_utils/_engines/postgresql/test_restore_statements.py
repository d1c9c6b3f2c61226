from __future__ import annotations

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.restore_statements import (
    RETAINED_SCHEMA,
    fit_name,
)


@pytest.mark.parametrize("name", ["shop", "s" * 63, "ü" * 31, "s" * 40])
def test_what_is_retained_is_known_by_its_name_however_long_that_is(name: str) -> None:
    retained = fit_name(RETAINED_SCHEMA, f"{name}_20261122T185958Z-850e16")

    assert retained.startswith(RETAINED_SCHEMA)
    assert len(retained.encode()) <= 63
    assert retained != fit_name(RETAINED_SCHEMA, f"{name}_20261122T185958Z-850e17")
