"""Rows of a dump are counted in the forms of old and new programs, and nothing inside of a string or a routine is."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb.dump_file import read_dump
from ansible_collections.hosting.alembic.plugins.module_utils._engines.mariadb.dump_text import parse_dump

NEW = rb"""/*M!999999\- enable the sandbox mode */
CREATE SEQUENCE `s` start with 1 minvalue 1;
CREATE TABLE `odd``name` (
  `id` int(11)
) ENGINE=InnoDB;
INSERT INTO `odd``name` VALUES
(1,'a\nb),(c'),
(2,');'),
(3,'it\'s');
INSERT INTO `odd``name` VALUES
(4,'');
CREATE TABLE `empty` (
DELIMITER ;;
/*!50003 CREATE*/ /*!50017 DEFINER=`u`@`%`*/ /*!50003 TRIGGER t BEFORE INSERT ON `empty` FOR EACH ROW BEGIN
/*!50003 CREATE*/
INSERT INTO `empty` VALUES
(1);
END */;;
DELIMITER ;
/*!50003 DROP FUNCTION IF EXISTS `f` */;
/*!50106 DROP EVENT IF EXISTS `e` */;
DELIMITER ;;
/*!50106 CREATE*/ /*!50117 DEFINER=`u`@`%`*/ /*!50106 EVENT `e` ON SCHEDULE EVERY 1 DAY DO BEGIN
/*!50106 DROP EVENT IF EXISTS `in a body` */;
END */ ;;
/*!50106 DROP EVENT IF EXISTS `the next` */;;
DELIMITER ;;
/*!50106 CREATE*/ /*!50117 DEFINER=`u`@`%`*/ /*!50106 EVENT `the next` ON SCHEDULE EVERY 1 DAY DO SELECT 1 */ ;;
DELIMITER ;
/*!50001 VIEW `v` AS select 1 */;

-- Dump completed
"""
OLD = rb"""CREATE TABLE `t` (
INSERT INTO `t` VALUES (1,'),(','it''s \'),('),(2,NULL,'x');
INSERT INTO `t` (`a`, `b`) VALUES (3,'a','b'),
(4,'a','b'),
(5,'a','b');
REPLACE INTO `t` VALUES (6,'a','b');
INSERT  IGNORE INTO `t` VALUES (7,'a','b');
-- Dump completed on 2026-11-29 17:00:00
"""


def test_what_a_new_program_writes(tmp_path: Path) -> None:
    path = tmp_path / "dump.sql"
    path.write_bytes(NEW)
    found = read_dump(path)
    assert found.rows == {"s": 0, "odd`name": 4, "empty": 0}
    assert found.others == {"trigger": 1, "function": 1, "event": 2, "view": 1}
    assert found.is_complete


def test_what_an_old_program_writes(tmp_path: Path) -> None:
    path = tmp_path / "dump.sql"
    path.write_bytes(OLD)
    found = read_dump(path)
    assert found.rows == {"t": 7}
    assert found.is_complete


def test_a_dump_without_its_last_line_is_not_complete(tmp_path: Path) -> None:
    path = tmp_path / "dump.sql"
    path.write_bytes(NEW.replace(b"-- Dump completed\n", b""))
    assert not read_dump(path).is_complete


def test_each_event_is_a_definition_of_its_own() -> None:
    found = parse_dump(NEW.splitlines(keepends=True))
    assert sorted(key for key in found.routines if key.startswith("event ")) == ["event e", "event the next"]
    assert found.not_understood == []
