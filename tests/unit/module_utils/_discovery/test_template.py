from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.engine import make_url

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused
from ansible_collections.hosting.alembic.plugins.module_utils._discovery.template import (
    LONGEST,
    Unfit,
    build_entry,
    find_columns,
    hash_place,
    read_used_values,
)


def made(template: dict[str, Any], **row: Any) -> dict[str, Any]:
    return build_entry(template, read_used_values(template, row))


def test_columns_are_filled_in_and_what_is_not_named_is_forgotten() -> None:
    template = {
        "name": "{db}",
        "url": "postgresql://{owner}@db.example.net/{db}",
        "environment": {"TENANT": "{number}", "DATABASE": "{url}", "HOST": "{url.host}"},
        "x_arguments": ["tenant={db}"],
        "target": "head",
    }
    row = {"db": "shop", "owner": "o", "number": 7, "secret": "x", "url": "ours goes before it"}

    assert find_columns(template) == {"db", "owner", "number"}
    assert read_used_values(template, row) == {"db": "shop", "owner": "o", "number": "7"}
    assert made(template, **row) == {
        "name": "shop",
        "url": "postgresql://o@db.example.net/shop",
        "environment": {"TENANT": "7", "DATABASE": "{url}", "HOST": "{url.host}"},
        "x_arguments": ["tenant=shop"],
        "target": "head",
    }


@pytest.mark.parametrize("value", ["p@ss:w/o?r#d%41", "öß", "a b", "'\"\\", "{owner}"])
def test_a_user_and_a_password_are_read_as_they_are_meant(value: str) -> None:
    url = made({"url": "postgresql://{user}:{word}@h:5432/d?sslmode=require"}, user=value, word=value)["url"]

    read = make_url(url)
    assert (read.username, read.password, read.host, read.port, read.database) == (value, value, "h", 5432, "d")


@pytest.mark.parametrize(
    ("url", "value"),
    [
        ("postgresql://u@h/{c}", "a?host=evil"),
        ("postgresql://u@h/{c}", "a%41"),
        ("postgresql://h:5432/{c}", "a@evil/b"),
        ("postgresql://u@{c}/d", "evil/x"),
        ("postgresql://u@{c}/d", "u:p@evil"),
        ("postgresql://u@h:{c}/d", "5432/x"),
        ("{c}://u@h/d", "sqlite:///x?"),
        ("{c}", "not a url"),
    ],
)
def test_a_value_does_not_leave_its_part_of_a_url(url: str, value: str) -> None:
    with pytest.raises(Unfit):
        made({"url": url}, c=value)


@pytest.mark.parametrize("name", ["plain", "with space", "a@b", "a:b", "ünï", "100"])
def test_a_name_of_a_database_is_written_as_it_is(name: str) -> None:
    assert make_url(made({"url": "postgresql://u@h/{c}"}, c=name)["url"]).database == name
    assert make_url(made({"url": "sqlite:///{c}"}, c=f"/srv/{name}.db")["url"]).database == f"/srv/{name}.db"


def test_a_placeholder_that_is_all_of_it_is_a_whole_url() -> None:
    url = "postgresql://u:p%40@h/d?sslmode=require"
    assert made({"url": "{dsn}"}, dsn=url)["url"] == url


@pytest.mark.parametrize(
    "value", [None, "", "  ", "a\nb", "a\x00b", "a\x1b[31m", "\udcff", "x" * (LONGEST + 1), ["a"], {}]
)
def test_what_is_not_one_line_of_text_is_unfit(value: Any) -> None:
    with pytest.raises(Unfit) as caught:
        made({"name": "{c}"}, c=value)
    assert str(caught.value).startswith("it has no c" if value is None else "its c ")


@pytest.mark.parametrize(("value", "text"), [(True, "true"), (5, "5"), (1.5, "1.5")])
def test_numbers_become_text(value: Any, text: str) -> None:
    assert made({"name": "{c}"}, c=value)["name"] == text


def test_kept_values_that_a_new_template_does_not_know_are_refused() -> None:
    with pytest.raises(Refused) as caught:
        build_entry({"name": "{other}"}, {"c": "x"})
    assert caught.value.code == "discovery-template-invalid"


def test_formats_and_attributes_are_not_placeholders() -> None:
    text = "{c.__class__}{c!r}{c:>9}{0}{}"
    assert made({"name": text}, c="x")["name"] == text


def test_a_place_does_not_depend_on_user_and_driver() -> None:
    here = hash_place({"url": "postgresql+psycopg2://a:b@h/d"})
    assert here == hash_place({"url": "postgres://c@h/d", "direct_url": None})
    assert here != hash_place({"url": "postgresql://a:b@h/e"})
    assert here == hash_place({"url": "postgresql://a@pooler/x", "direct_url": "postgresql://a@h/d"})
    assert len({here, *(hash_place({"url": "postgresql://a@h/d", "schema": schema}) for schema in ("", "s", "t"))}) == 3


@pytest.mark.parametrize("value", ["..", "../other", "a/../../b", ".", "a/./b"])
def test_a_value_does_not_lead_out_of_the_folder_that_is_meant(value: str) -> None:
    with pytest.raises(Unfit):
        made({"url": "sqlite:////srv/sites/{c}/app.db"}, c=value)
    assert made({"url": "sqlite:////srv/sites/{c}/app.db"}, c="a/b..c")["url"] == "sqlite:////srv/sites/a/b..c/app.db"
    # What is all of the path is a path.
    assert made({"url": "sqlite:///{c}"}, c="/srv/../a.db")["url"] == "sqlite:////srv/../a.db"


def test_a_value_is_not_filled_in_once_more() -> None:
    for key, value in (("environment", {"ID": "{c}"}), ("x_arguments", ["id={c}"])):
        with pytest.raises(Unfit):
            made({key: value}, c="{url.password}")
    assert made({"environment": {"ID": "{c}"}}, c="{urls}")["environment"] == {"ID": "{urls}"}


def test_one_name_on_two_servers_is_two_databases() -> None:
    urls = [f"postgresql:///shop?host={host}&sslmode=require" for host in ("a", "b")]
    assert len({hash_place({"url": url}) for url in urls}) == 2
    assert hash_place({"url": urls[0]}) == hash_place({"url": "postgresql://u@/shop?host=a"})
