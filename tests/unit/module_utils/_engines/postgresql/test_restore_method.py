from __future__ import annotations

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._engines.postgresql.restore_method import (
    ASIDE_SCHEMA,
    fitted,
)


@pytest.mark.parametrize("name", ["shop", "s" * 63, "ü" * 31, "s" * 40])
def test_what_lies_aside_is_known_by_its_name_however_long_that_is(name: str) -> None:
    aside = fitted(ASIDE_SCHEMA, f"{name}_20261122T185958Z-850e16")

    assert aside.startswith(ASIDE_SCHEMA)
    assert len(aside.encode()) <= 63
    assert aside != fitted(ASIDE_SCHEMA, f"{name}_20261122T185958Z-850e17")
