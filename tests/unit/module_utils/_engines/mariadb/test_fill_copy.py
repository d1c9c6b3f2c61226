"""Tables that have their rows elsewhere are not copied, and neither are those that would bind tables of others."""

from __future__ import annotations

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb.dump_text import Definitions
from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb.fill_copy import (
    list_bound_elsewhere,
    replace_sequences,
)


@pytest.mark.parametrize(
    "text",
    [
        "CREATE TABLE `t` (\n `a` int\n) ENGINE=FEDERATED CONNECTION='mysql://u@h/shop/t'",
        "CREATE TABLE `t` (\n `a` int\n) ENGINE=CONNECT `TABLE_TYPE`=MYSQL",
        "CREATE TABLE `t` (\n `a` int\n)\n PARTITION BY KEY ()\n(PARTITION `p` ENGINE = SPIDER)",
        "CREATE TABLE `t` (\n CONSTRAINT `f` FOREIGN KEY (`a`) REFERENCES `crm`.`p` (`id`)\n) ENGINE=InnoDB",
        "CREATE TABLE `t` (\n `a` int\n) ENGINE=MRG_MyISAM UNION=(`crm`.`p`)",
    ],
)
def test_a_table_that_reaches_elsewhere(text: str) -> None:
    assert list_bound_elsewhere(Definitions(tables={"t": text})) == ["t"]


def test_a_table_with_its_own_rows() -> None:
    text = "CREATE TABLE `t` (\n CONSTRAINT `f` FOREIGN KEY (`a`) REFERENCES `a.b` (`id`)\n) ENGINE=InnoDB"
    assert list_bound_elsewhere(Definitions(tables={"t": text})) == []


def test_the_sequence_of_a_default_is_the_copys() -> None:
    text = "`id` int DEFAULT nextval(`shop`.`s`), `b` int DEFAULT nextval(`shop2`.`s`)"
    assert replace_sequences(text, "shop", "copy") == text.replace("`shop`", "`copy`")
