"""Revisions of MariaDB that fail after what they did was committed, statement by statement."""

from __future__ import annotations

from collections.abc import Iterator

from tests.faults.digest import digest
from tests.faults.fault import MARIADB, fault
from tests.faults.mariadb_servers import server_of, user_of
from tests.faults.scene import FILL_PART, PART, Scene

#: Beside the fixture's table: of each kind one, which has to come back as it was.
_OBJECTS = """
CREATE TABLE parent (id int AUTO_INCREMENT PRIMARY KEY, word varchar(20), UNIQUE KEY once (word));
CREATE TABLE child (id int PRIMARY KEY, parent int, made timestamp(3) NOT NULL DEFAULT current_timestamp(3)
  ON UPDATE current_timestamp(3), next int GENERATED ALWAYS AS (id + 1) STORED, word text, FULLTEXT KEY found (word),
  CONSTRAINT up FOREIGN KEY (parent) REFERENCES parent (id) ON DELETE CASCADE, CONSTRAINT small CHECK (id < 1000));
CREATE TABLE piece (id int PRIMARY KEY, word varchar(20) CHARACTER SET latin1) PARTITION BY RANGE (id)
  (PARTITION low VALUES LESS THAN (10), PARTITION high VALUES LESS THAN MAXVALUE);
INSERT INTO parent (word) VALUES ('a'), ('b\\nü');
INSERT INTO child (id, parent, made, word) VALUES (1, 1, '2026-01-02 03:04:05.678', 'one'), (2, 2, '2001-01-01', NULL);
INSERT INTO piece VALUES (1, 'größe'), (11, 'x');
CREATE VIEW words AS SELECT id, word FROM parent;
CREATE SEQUENCE numbers START WITH 5;
CREATE PROCEDURE one() SELECT 1;
CREATE FUNCTION two() RETURNS int DETERMINISTIC RETURN 2;
CREATE TRIGGER shouts BEFORE INSERT ON parent FOR EACH ROW SET NEW.word = upper(NEW.word);
CREATE EVENT tidy ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 00:00:00' DO DELETE FROM parent;
"""
_DROPS = """
DROP EVENT tidy; DROP TRIGGER shouts; DROP FUNCTION two; DROP PROCEDURE one; DROP SEQUENCE numbers; DROP VIEW words;
DROP TABLE piece; DROP TABLE child; DROP TABLE parent;
"""


def _fails_after(words: str, *statements: str, ends: str = "old held") -> None:
    """A revision fails after statements that only what is read of the whole database undoes.

    What was dropped may have held what others wrote: only where the server's counters say that no one else has written
    is it brought back without a person.
    """

    @fault(f"a revision {words}, then raises", ends=ends, engines=MARIADB)
    def inject(scene: Scene) -> Iterator[None]:
        clean = scene.old
        _as_customer(scene, _OBJECTS)
        scene.old = digest(scene.target)
        body = "\n".join(f"op.execute({statement!r})" for statement in statements)
        scene.release(f"{body}\n{scene.raise_here()}")
        scene.fails()
        scene.ended = scene.state()
        assert scene.ended in ends.split(), scene.ended
        if scene.ended == "held":
            scene.assert_nothing_is_lost()
            scene.type_the_restore_command()
            assert scene.state() == "old"
        # A clean upgrade knows of none of these.
        _as_customer(scene, _DROPS)
        scene.old = clean
        scene.release()
        yield


def _as_customer(scene: Scene, script: str) -> None:
    for statement in script.split(";"):
        if statement.strip():
            scene.target.rows(statement)


_fails_after("drops a column with rows in it", "ALTER TABLE parent DROP COLUMN word")
_fails_after("drops a table with rows in it", "DROP TABLE piece")
_fails_after("drops two tables that a foreign key binds", "DROP TABLE child", "DROP TABLE parent")
_fails_after("empties a table by TRUNCATE", "TRUNCATE TABLE piece")
_fails_after("renames a table", "RENAME TABLE child TO grown")
_fails_after("swaps two tables by their names", "RENAME TABLE piece TO aside, parent TO piece, aside TO parent")
_fails_after("renames a column", "ALTER TABLE parent CHANGE word letters varchar(20)")
_fails_after("narrows a column", "ALTER TABLE child MODIFY made timestamp NOT NULL")
_fails_after("converts a table to another character set", "ALTER TABLE piece CONVERT TO CHARACTER SET utf8mb4")
_fails_after("changes the engine of a table", "ALTER TABLE piece REMOVE PARTITIONING", "ALTER TABLE piece ENGINE=Aria")
_fails_after("drops a partition", "ALTER TABLE piece DROP PARTITION high")
_fails_after("drops a foreign key and a check", "ALTER TABLE child DROP FOREIGN KEY up, DROP CONSTRAINT small")
_fails_after("makes a view of a table that it drops", "CREATE TABLE gone (id int)",
             "CREATE VIEW of_gone AS SELECT * FROM gone", "DROP TABLE gone")  # fmt: skip
_fails_after("drops an index", "DROP INDEX once ON parent", "DROP INDEX found ON child")
_fails_after("adds an index, a check and a foreign key", "CREATE INDEX later ON child (made)",
             "ALTER TABLE child ADD CONSTRAINT positive CHECK (id > 0)",
             "ALTER TABLE child ADD CONSTRAINT again FOREIGN KEY (parent) REFERENCES parent (id)")  # fmt: skip
_fails_after("changes a comment and a default", "ALTER TABLE parent COMMENT 'ours', ALTER word SET DEFAULT 'x'")
_fails_after("changes the order of columns", "ALTER TABLE parent MODIFY word varchar(20) FIRST")
_fails_after("makes a column invisible", "ALTER TABLE parent MODIFY word varchar(20) INVISIBLE")
_fails_after("replaces a generated column", "ALTER TABLE child DROP COLUMN next",
             "ALTER TABLE child ADD COLUMN next int GENERATED ALWAYS AS (id + 2) STORED AFTER made")  # fmt: skip
_fails_after("replaces a view", "CREATE OR REPLACE VIEW words AS SELECT word FROM parent")
_fails_after("drops a view, a routine and an event", "DROP VIEW words", "DROP FUNCTION two", "DROP EVENT tidy")
_fails_after("replaces a procedure and a trigger", "CREATE OR REPLACE PROCEDURE one() SELECT 2",
             "CREATE OR REPLACE TRIGGER shouts BEFORE INSERT ON parent FOR EACH ROW SET NEW.word = 'x'")  # fmt: skip
_fails_after("makes a view, a routine, a trigger and an event", "CREATE VIEW made AS SELECT 1 AS one",
             "CREATE PROCEDURE three() SELECT 3", "CREATE TRIGGER made BEFORE UPDATE ON child FOR EACH ROW SET @a = 1",
             "CREATE EVENT made ON SCHEDULE EVERY 1 DAY STARTS '2031-01-01 00:00:00' DO SELECT 1")  # fmt: skip
_fails_after("makes a table without transactions", "CREATE TABLE plain (id int PRIMARY KEY) ENGINE=Aria",
             "INSERT INTO plain VALUES (1)", "ALTER TABLE piece ADD COLUMN more int")  # fmt: skip
_fails_after("alters the database itself", "ALTER DATABASE CHARACTER SET latin1")
_fails_after("copies a table", "CREATE TABLE copy LIKE parent", "INSERT INTO copy SELECT * FROM parent", "COMMIT")
_fails_after("makes a table of a query", "CREATE TABLE copy AS SELECT * FROM parent")
_fails_after("replaces a table", "CREATE OR REPLACE TABLE piece (id int)")
_fails_after("makes a temporary table", "CREATE TEMPORARY TABLE parent2 (id int)", "DROP VIEW words")
_fails_after("locks tables", "LOCK TABLES parent WRITE, child WRITE", "ALTER TABLE parent ADD COLUMN more int")
_fails_after("switches foreign keys off and deletes parents", "SET foreign_key_checks = 0", "DELETE FROM parent",
             "COMMIT", "DROP VIEW words")  # fmt: skip
_fails_after("changes rows that a cascade deletes", "DELETE FROM parent WHERE id = 1", "COMMIT")
_fails_after("calls a procedure that alters a table",
             "CREATE PROCEDURE alters() ALTER TABLE parent ADD COLUMN more int", "CALL alters()")  # fmt: skip
_fails_after("prepares a statement that alters a table", "PREPARE s FROM 'ALTER TABLE parent ADD COLUMN more int'",
             "EXECUTE s")  # fmt: skip
_fails_after("alters a table in a compound statement",
             "BEGIN NOT ATOMIC ALTER TABLE parent ADD COLUMN more int; DELETE FROM piece; END")  # fmt: skip
_fails_after("leaves an XA transaction", "XA START 'ours'", "DELETE FROM piece")
_fails_after("makes a system-versioned table", "ALTER TABLE piece REMOVE PARTITIONING",
             "ALTER TABLE piece ADD SYSTEM VERSIONING", "DELETE FROM piece", "COMMIT")  # fmt: skip


def _fails_where_no_restore_is_permitted(scene: Scene, revision: str) -> None:
    server, user = server_of(scene), user_of(scene)
    server.execute(f"REVOKE ALL ON `hosting\\_alembic\\_%`.* FROM {user}; REVOKE PROCESS ON *.* FROM {user}")
    scene.release(f"{revision}\n{scene.raise_here()}")
    scene.fails()
    scene.release()


@fault("a user who may not restore, after a revision that has to be restored", ends="old", engines=MARIADB)
def may_not_restore(scene: Scene) -> Iterator[None]:
    _fails_where_no_restore_is_permitted(scene, scene.leave())
    yield


@fault("a user who may not restore, after a revision that has made a table", ends="old", engines=MARIADB)
def may_not_restore_but_undo(scene: Scene) -> Iterator[None]:
    _fails_where_no_restore_is_permitted(scene, f"{PART}\n{FILL_PART}")
    yield


@fault("a revision changes rows and fails, where others write into another database", ends="held", engines=MARIADB)
def others_elsewhere(scene: Scene) -> Iterator[None]:
    server = server_of(scene)
    server.execute("CREATE DATABASE elsewhere; CREATE TABLE elsewhere.t (id int)")
    scene.kept.callback(server.execute, "DROP DATABASE elsewhere")
    change = "op.execute(\"UPDATE item SET name = 'changed'\")\nop.execute('COMMIT')"
    scene.release(f"{change}\n{scene.stop_here()}\nraise RuntimeError('fails on purpose')")
    with scene.started() as running:
        server.execute("INSERT INTO elsewhere.t VALUES (1)")
        scene.gate.touch()
        scene.end(running)
    scene.release()
    yield
