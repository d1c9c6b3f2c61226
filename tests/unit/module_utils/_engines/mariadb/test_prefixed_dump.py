"""A dump under other names: what is not known to the letter is not executed, as it would be in the database itself."""

from __future__ import annotations

import re

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import REPLACED_NOTHING
from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb.places import PrefixPlace
from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb.prefixed_dump import prefix_dump
from tests.codes import refused

_PLACE = PrefixPlace("shop", "hosting_alembic_new_0a1b2c")
#: As mariadb-dump writes it.
_DUMP = r"""
/*M!999999\- enable the sandbox mode */
-- MariaDB dump 10.19
/*!40014 SET @OLD_FOREIGN_KEY_CHECKS=@@FOREIGN_KEY_CHECKS, FOREIGN_KEY_CHECKS=0 */;
set autocommit=0;
DROP SEQUENCE IF EXISTS `s`;
CREATE SEQUENCE `s` start with 1 increment by 1 cache 1000 nocycle ENGINE=InnoDB;
DO SETVAL(`s`, 1, 0);
DROP TABLE IF EXISTS `a``b`;
/*!40101 SET character_set_client = utf8mb4 */;
CREATE TABLE `a``b` (
  `id` int(11) NOT NULL DEFAULT nextval(`shop`.`s`) COMMENT 'DROP TABLE `a``b`;',
  `up` int(11) DEFAULT NULL COMMENT '
  CONSTRAINT `x` FOREIGN KEY (`up`) REFERENCES `a``b` (`id`)',
  PRIMARY KEY (`id`),
  KEY `up` (`up`),
  CONSTRAINT `a``b_ibfk_1` FOREIGN KEY (`up`) REFERENCES `a``b` (`id`) ON DELETE SET NULL,
  CONSTRAINT `c` CHECK (`id` <> '`a``b`')
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
/*!40000 ALTER TABLE `a``b` DISABLE KEYS */;
INSERT INTO `a``b` VALUES
(1,'INSERT INTO `s` VALUES (1);'),
(2,'\nDROP TABLE `s`;');
/*!40000 ALTER TABLE `a``b` ENABLE KEYS */;
commit;
DROP TABLE IF EXISTS `v`;
/*!50001 CREATE VIEW `v` AS SELECT
 1 AS `a` */;
/*!50003 SET sql_mode = '' */ ;
DELIMITER ;;
/*!50003 CREATE*/ /*!50017 DEFINER=`a`@`b`*/ /*!50003 TRIGGER t before insert on `a``b` for each row drop table s */;;
DELIMITER ;
/*!50001 CREATE ALGORITHM=UNDEFINED */
/*!50013 DEFINER=`a`@`b` SQL SECURITY DEFINER */
/*!50001 VIEW `v` AS select 1 AS `a` */;
-- Dump completed
"""
_TABLES = {"a`b", "s"}


def loaded(dump: str, tables: set[str] = _TABLES) -> str:
    return b"".join(prefix_dump(dump.encode().splitlines(keepends=True), _PLACE, tables)).decode()


def test_only_tables_come_and_only_under_our_names() -> None:
    script = loaded(_DUMP)
    table, sequence = (_PLACE.locate_table(name)[1] for name in ("a`b", "s"))
    assert script.splitlines() == [
        "/*!40014 SET @OLD_FOREIGN_KEY_CHECKS=@@FOREIGN_KEY_CHECKS, FOREIGN_KEY_CHECKS=0 */;",
        "set autocommit=0;",
        f"CREATE SEQUENCE `{sequence}` start with 1 increment by 1 cache 1000 nocycle ENGINE=InnoDB;",
        f"DO SETVAL(`{sequence}`, 1, 0);",
        "/*!40101 SET character_set_client = utf8mb4 */;",
        f"CREATE TABLE `{table}` (",
        "  `id` int(11) NOT NULL DEFAULT nextval(`shop`.`s`) COMMENT 'DROP TABLE `a``b`;',",
        "  `up` int(11) DEFAULT NULL COMMENT '",
        "  CONSTRAINT `x` FOREIGN KEY (`up`) REFERENCES `a``b` (`id`)',",
        "  PRIMARY KEY (`id`),",
        "  KEY `up` (`up`),",
        re.findall(r"  CONSTRAINT `hosting_alembic_key_\w+` FOREIGN.*", script)[0],
        "  CONSTRAINT `c` CHECK (`id` <> '`a``b`')",
        ") ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;",
        f"INSERT INTO `{table}` VALUES",
        "(1,'INSERT INTO `s` VALUES (1);'),",
        r"(2,'\nDROP TABLE `s`;');",
        "commit;",
    ]
    assert f" FOREIGN KEY (`up`) REFERENCES `{table}` (`id`) ON DELETE SET NULL,\n" in script


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE `s`;",
        "DROP TABLE IF EXISTS `s`, `a``b`;",
        "TRUNCATE TABLE `s`;",
        "DELETE FROM `s`;",
        "INSERT INTO s VALUES (1);",
        "INSERT INTO `other` VALUES (1);",
        "INSERT INTO `s` SELECT 1;",
        "INSERT INTO `s` VALUES\n(1);\n(2);",
        "INSERT INTO `s` VALUES\n(1),\nDROP TABLE `s`;",
        "INSERT INTO `s` VALUES\n(1),",
        "CREATE TABLE `other` (\n  `id` int\n);",
        "CREATE TABLE `s` SELECT 1;",
        "CREATE TABLE `shop`.`s` (\n  `id` int\n);",
        "CREATE OR REPLACE TABLE `s` (\n  `id` int\n);",
        "CREATE TABLE `s` (\n  CONSTRAINT `x` FOREIGN KEY (`a`) REFERENCES `other`.`t` (`b`)\n);",
        "CREATE TABLE `s` (\n  `id` int\n) COMMENT=''; DROP TABLE `s`;",
        "RENAME TABLE `s` TO `t`;",
        "ALTER TABLE `s` DISABLE KEYS;",
        "/*!40000 ALTER TABLE `s` DROP COLUMN `a` */;",
        "SET GLOBAL x = 1;",
        "SET STATEMENT x = 1 FOR DROP TABLE `s`;",
        "SET x = 1; DROP TABLE `s`;",
        "DO SETVAL(`s`, (select 1), 0);",
        "USE `other`;",
        "CREATE TABLE `s` (\n  `id` int",
    ],
)
def test_what_is_not_known_ends_the_load(statement: str) -> None:
    with refused(REPLACED_NOTHING):
        loaded(f"{statement}\n")


def test_each_table_has_a_name_that_the_server_takes_and_that_no_other_has() -> None:
    names = ["a", "A", "é", "long" * 16, "long" * 15, "state", "_state", "`; drop", ""]
    for prefix in ("hosting_alembic_new_0a1b2c", "hosting_alembic_old_202612312359590"):
        made = [PrefixPlace("shop", prefix).locate_table(name)[1] for name in names]
        assert len({*made, PrefixPlace("shop", prefix).state[1]}) == len(names) + 1
        # The server puts "_ibfk_123" behind it for foreign keys without a name.
        assert max(map(len, made)) <= 64 - len("_ibfk_123")
        assert all(re.fullmatch(r"[a-z0-9_]+", name) for name in made)
