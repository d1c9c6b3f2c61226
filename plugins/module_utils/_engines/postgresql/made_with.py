# Copyright (c) hosting.alembic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options that only CREATE DATABASE sets: encoding and locale, of whichever provider."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from ..connection import OwnConnection
from .restore_statements import quote_literal

#: The row of a database in the catalog, whose columns differ between versions, and the name of its encoding.
_FACTS = """
select cast(to_jsonb(d) as text), pg_encoding_to_char(encoding) from pg_database d where datname = :name
"""

#: As ``datlocprovider`` names them, since PostgreSQL 15.
_PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin"}
#: Options of CREATE DATABASE that createdb has too.
_WORDS = {
    "encoding": "encoding",
    "locale": "locale",
    "lc_collate": "lc-collate",
    "lc_ctype": "lc-ctype",
    "locale_provider": "locale-provider",
    "icu_locale": "icu-locale",
    "icu_rules": "icu-rules",
    "builtin_locale": "builtin-locale",
}
_PROVIDER = "locale_provider"
_PROVIDERS_SINCE = 15


def build_options(facts: dict[str, Any], encoding: str) -> dict[str, str]:
    """Return the options of CREATE DATABASE that make a database like one of the catalog.

    The provider is always named where there is a choice: a new database has the one of template0, which is the one that
    the cluster was made with.

    Args:
        facts: its row of ``pg_database``.
        encoding: the name of its encoding.
    """
    options = {"encoding": encoding}
    if facts.get("datcollate") is not None:
        options.update(lc_collate=facts["datcollate"], lc_ctype=facts["datctype"])
    provider = _PROVIDERS.get(facts.get("datlocprovider", ""))
    if provider:
        options[_PROVIDER] = provider
    # Of 15 and 16, and since 17.
    locale = facts.get("daticulocale") or facts.get("datlocale")
    if provider in ("icu", "builtin") and locale:
        options[f"{provider}_locale"] = locale
    if facts.get("daticurules"):
        options["icu_rules"] = facts["daticurules"]
    return options


def as_sql(options: dict[str, str]) -> str:
    """Return options as CREATE DATABASE has them."""
    return " ".join(f"{name} {quote_literal(value)}" for name, value in options.items())


def as_words(options: dict[str, str]) -> list[str]:
    """Return options as createdb has them; what it has no option for is left out."""
    return [f"--{_WORDS[name]}={value}" for name, value in options.items() if name in _WORDS]


def read_options_unlike_template(own: OwnConnection, name: str) -> dict[str, str]:
    """Return those options of a database that one which is made of template0 has not by itself."""
    its, template = (read_options(own, each) for each in (name, "template0"))
    unlike = {option: value for option, value in its.items() if template.get(option) != value}
    # A locale of a provider is one only beside its name.
    return {**unlike, _PROVIDER: its[_PROVIDER]} if unlike and _PROVIDER in its else unlike


def read_options(own: OwnConnection, name: str) -> dict[str, str]:
    """Return the options of CREATE DATABASE that make a database like another one of the server."""
    text, encoding = own.query_rows(_FACTS, name=name)[0]
    return build_options(json.loads(text), encoding)


def translate_options(options: Iterable[tuple[str, str]], server: int) -> dict[str, str]:
    """Return options as a server of a major version knows them: before 15 there was libc, and no word for it."""
    return {name: value for name, value in options if server >= _PROVIDERS_SINCE or name != _PROVIDER}
