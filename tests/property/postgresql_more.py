"""Kinds of PostgreSQL that are seldom met, and those that only a superuser makes."""

from __future__ import annotations

from dataclasses import replace

from tests.property.kinds import Change, Kind, change, kind

_TABLE = (
    "CREATE TABLE {n} (id integer PRIMARY KEY, a text, b integer)",
    "INSERT INTO {n} VALUES (1, 'one', 1), (2, 'two', 2)",
)

#: Objects of one name, each as COMMENT ON calls it, after the statements that make them.
_COMMENTED = (
    "VIEW {n}_v", "SEQUENCE {n}_s", "FUNCTION {n}_f(integer)", "TYPE {n}_e", "TYPE {n}_c", "DOMAIN {n}_d",
    "CONSTRAINT {n}_dc ON DOMAIN {n}_d", "TRIGGER {n}_t ON {n}", "RULE {n}_r ON {n}", "POLICY {n}_p ON {n}",
    "STATISTICS {n}_x", "MATERIALIZED VIEW {n}_m", "AGGREGATE {n}_a(integer)", "COLLATION {n}_l", "CONVERSION {n}_o",
    "TEXT SEARCH CONFIGURATION {n}_g", "TEXT SEARCH DICTIONARY {n}_i", "OPERATOR public.##+ (integer, integer)",
    "COLUMN {n}_v.a", "CAST ({n}_c AS integer)", "PROCEDURE {n}_q()",
)  # fmt: skip
_MAKE_COMMENTED = (
    *_TABLE,
    "CREATE VIEW {n}_v AS SELECT id, a FROM {n}",
    "CREATE MATERIALIZED VIEW {n}_m AS SELECT a FROM {n}",
    "CREATE SEQUENCE {n}_s",
    "CREATE FUNCTION {n}_f(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT $1 + 1'",
    "CREATE FUNCTION {n}_g(integer, integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT $1 + $2'",
    "CREATE FUNCTION {n}_h() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NEW; END$$",
    "CREATE PROCEDURE {n}_q() LANGUAGE sql AS 'SELECT 1'",
    "CREATE TYPE {n}_e AS ENUM ('a')",
    "CREATE TYPE {n}_c AS (a integer)",
    "CREATE FUNCTION {n}_k({n}_c) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT ($1).a'",
    "CREATE CAST ({n}_c AS integer) WITH FUNCTION {n}_k({n}_c)",
    "CREATE DOMAIN {n}_d AS text CONSTRAINT {n}_dc CHECK (VALUE <> '')",
    "CREATE TRIGGER {n}_t BEFORE UPDATE ON {n} FOR EACH ROW EXECUTE FUNCTION {n}_h()",
    "CREATE RULE {n}_r AS ON DELETE TO {n} WHERE OLD.id = 99 DO INSTEAD NOTHING",
    "CREATE POLICY {n}_p ON {n} USING (true)",
    "CREATE STATISTICS {n}_x ON a, b FROM {n}",
    "CREATE AGGREGATE {n}_a(integer) (SFUNC = int4pl, STYPE = integer, INITCOND = '0')",
    "CREATE COLLATION {n}_l (provider = libc, locale = 'C')",
    "CREATE CONVERSION {n}_o FOR 'UTF8' TO 'LATIN1' FROM utf8_to_iso8859_1",
    "CREATE TEXT SEARCH DICTIONARY {n}_i (TEMPLATE = simple)",
    "CREATE TEXT SEARCH CONFIGURATION {n}_g (COPY = simple)",
    "CREATE OPERATOR public.##+ (FUNCTION = {n}_g, LEFTARG = integer, RIGHTARG = integer)",
)
_DROP_COMMENTED = (
    "DROP OPERATOR public.##+ (integer, integer)",
    "DROP TEXT SEARCH CONFIGURATION {n}_g",
    "DROP TEXT SEARCH DICTIONARY {n}_i",
    "DROP CONVERSION {n}_o",
    "DROP COLLATION {n}_l",
    "DROP AGGREGATE {n}_a(integer)",
    "DROP DOMAIN {n}_d",
    "DROP CAST ({n}_c AS integer)",
    "DROP FUNCTION {n}_k({n}_c)",
    "DROP TYPE {n}_c",
    "DROP TYPE {n}_e",
    "DROP PROCEDURE {n}_q()",
    "DROP FUNCTION {n}_g(integer, integer)",
    "DROP FUNCTION {n}_f(integer)",
    "DROP SEQUENCE {n}_s",
    "DROP TABLE {n} CASCADE",
    "DROP FUNCTION {n}_h()",
)


def _comments(text: str) -> tuple[str, ...]:
    return tuple(f"COMMENT ON {each} IS {text}" for each in _COMMENTED)


_GRANTED = ("SEQUENCE {n}_s", "FUNCTION {n}_f(integer)", "TYPE {n}_e", "DOMAIN {n}_d", "SCHEMA {n}_z", "TABLE {n}_v")
_RIGHTS = ("USAGE", "EXECUTE", "USAGE", "USAGE", "CREATE", "SELECT")


def _grants(verb: str, preposition: str, role: str) -> tuple[str, ...]:
    return tuple(f"{verb} {right} ON {each} {preposition} {role}" for right, each in zip(_RIGHTS, _GRANTED))


def _of_superuser(name: str, make: str | tuple[str, ...], drop: str | tuple[str, ...], *changes: Change) -> Kind:
    return replace(kind(name, make, drop, *changes), superuser=True)


_EVENT = "CREATE EVENT TRIGGER {n}_e ON ddl_command_end EXECUTE FUNCTION {n}_f()"
_CLASS = "CREATE OPERATOR CLASS {n} FOR TYPE integer USING btree FAMILY {n}_f AS OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 btint4cmp(integer, integer)"
_SUBSCRIPTION = (
    "CREATE SUBSCRIPTION {n} CONNECTION 'dbname=nowhere' PUBLICATION p WITH (connect = false, slot_name = NONE)"
)

KINDS = (
    kind("domain over a composite type", ("CREATE TYPE {n}_c AS (a integer, b text)", "CREATE DOMAIN {n} AS {n}_c CONSTRAINT {n}_k CHECK ((VALUE).a > 0)", "CREATE TABLE {n}_t (d {n}, e {n}[])", "INSERT INTO {n}_t VALUES (ROW(1, 'x')::{n}_c, NULL)"), ("DROP TABLE {n}_t", "DROP DOMAIN {n}", "DROP TYPE {n}_c"),
        change("loses its check", "ALTER DOMAIN {n} DROP CONSTRAINT {n}_k", "ALTER DOMAIN {n} ADD CONSTRAINT {n}_k CHECK ((VALUE).a > 0)"),
        change("has another default", "ALTER DOMAIN {n} SET DEFAULT ROW(2, 'y')"),
        change("has its rows changed", "UPDATE {n}_t SET d = ROW(3, 'z')::{n}_c"),
    ),
    kind("multirange", ("CREATE TYPE {n} AS RANGE (SUBTYPE = date, MULTIRANGE_TYPE_NAME = {n}_many)", "CREATE TABLE {n}_t (r {n}, m {n}_many)", "INSERT INTO {n}_t VALUES ('[2020-01-01,2020-02-01)', '{[2020-01-01,2020-02-01)}')"), ("DROP TABLE {n}_t", "DROP TYPE {n}"),
        change("has its rows changed", "UPDATE {n}_t SET m = '{}'"),
        change("is no column's type", "ALTER TABLE {n}_t DROP m", "ALTER TABLE {n}_t ADD m {n}_many"),
    ),
    kind("collation of a column", ("CREATE COLLATION {n} (provider = icu, locale = 'und', deterministic = false)", "CREATE TABLE {n}_t (a text COLLATE {n} PRIMARY KEY)", "INSERT INTO {n}_t VALUES ('a'), ('ä')"), ("DROP TABLE {n}_t", "DROP COLLATION {n}"),
        change("is another", "ALTER TABLE {n}_t ALTER a TYPE text COLLATE \"C\"", "ALTER TABLE {n}_t ALTER a TYPE text COLLATE {n}"),
        change("is another for good", "ALTER TABLE {n}_t ALTER a TYPE text COLLATE \"C\""),
    ),
    kind("extended statistics on expressions", (*_TABLE, "CREATE STATISTICS {n}_s ON (lower(a)), (b % 7) FROM {n}"), "DROP TABLE {n}",
        change("are dropped", "DROP STATISTICS {n}_s"),
        change("come back as others", ("DROP STATISTICS {n}_s", "CREATE STATISTICS {n}_s ON (lower(a)), (b % 8) FROM {n}")),
        change("are commented", "COMMENT ON STATISTICS {n}_s IS 'new'"),
    ),
    kind("publication with a row filter", (*_TABLE, "CREATE PUBLICATION {n}_p FOR TABLE {n} WHERE (id > 1 AND (b > 0 OR a = 'x'))", "ALTER TABLE {n} REPLICA IDENTITY FULL"), ("DROP PUBLICATION {n}_p", "DROP TABLE {n}"),
        change("filters otherwise", "ALTER PUBLICATION {n}_p SET TABLE {n} WHERE (id > 2)"),
        change("filters with other parentheses", "ALTER PUBLICATION {n}_p SET TABLE {n} WHERE ((id > 1 AND b > 0) OR a = 'x')"),
        change("filters nothing", "ALTER PUBLICATION {n}_p SET TABLE {n}", "ALTER PUBLICATION {n}_p SET TABLE {n} WHERE (id > 1)"),
        change("is commented", "COMMENT ON PUBLICATION {n}_p IS 'new'"),
    ),
    kind("rule and trigger of a view", (*_TABLE, "CREATE VIEW {n}_v AS SELECT id, a FROM {n}", "CREATE RULE {n}_r AS ON INSERT TO {n}_v DO INSTEAD INSERT INTO {n} VALUES (NEW.id, NEW.a, 0)", "CREATE FUNCTION {n}_f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN OLD; END$$", "CREATE TRIGGER {n}_t INSTEAD OF DELETE ON {n}_v FOR EACH ROW EXECUTE FUNCTION {n}_f()"), ("DROP VIEW {n}_v", "DROP FUNCTION {n}_f", "DROP TABLE {n}"),
        change("write", "INSERT INTO {n}_v VALUES (3, 'three')", "DELETE FROM {n} WHERE id = 3"),
        change("lose the rule", "DROP RULE {n}_r ON {n}_v"),
        change("lose the trigger", "DROP TRIGGER {n}_t ON {n}_v"),
    ),
    kind("comments on objects of many kinds", (*_MAKE_COMMENTED, *_comments("'old'")), _DROP_COMMENTED,
        change("are others", _comments("'new'")),
        change("are gone", _comments("NULL")),
        *(change(f"on {each.partition(' {')[0]} is another", f"COMMENT ON {each} IS 'new'") for each in _COMMENTED),
    ),
    kind("privileges on objects of many kinds", (*_MAKE_COMMENTED, "CREATE SCHEMA {n}_z", *_grants("GRANT", "TO", "property_reader")), (*_DROP_COMMENTED, "DROP SCHEMA {n}_z"),
        change("are gone", _grants("REVOKE", "FROM", "property_reader")),
        change("are the public's too", _grants("GRANT", "TO", "PUBLIC")),
        change("are nobody's", _grants("REVOKE", "FROM", "PUBLIC, property_reader")),
    ),
    kind("default privileges on objects of many kinds", "ALTER DEFAULT PRIVILEGES GRANT USAGE ON TYPES TO property_reader", "ALTER DEFAULT PRIVILEGES REVOKE USAGE ON TYPES FROM property_reader",
        change("cover schemas", "ALTER DEFAULT PRIVILEGES GRANT USAGE ON SCHEMAS TO property_reader"),
        change("cover sequences and functions", ("ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE ON SEQUENCES TO property_reader", "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT EXECUTE ON FUNCTIONS TO property_reader")),
        change("keep types from the public", "ALTER DEFAULT PRIVILEGES REVOKE USAGE ON TYPES FROM PUBLIC", "ALTER DEFAULT PRIVILEGES GRANT USAGE ON TYPES TO PUBLIC"),
    ),
    _of_superuser("event trigger", ("CREATE FUNCTION {n}_f() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN PERFORM 1; END$$", _EVENT), ("DROP EVENT TRIGGER {n}_e", "DROP FUNCTION {n}_f"),
        change("is disabled", "ALTER EVENT TRIGGER {n}_e DISABLE"),
        change("is always on", "ALTER EVENT TRIGGER {n}_e ENABLE ALWAYS"),
        change("is dropped", "DROP EVENT TRIGGER {n}_e"),
        change("comes back for some commands", "DROP EVENT TRIGGER {n}_e", _EVENT.replace("EXECUTE", "WHEN TAG IN ('CREATE TABLE') EXECUTE")),
        change("is commented", "COMMENT ON EVENT TRIGGER {n}_e IS 'new'"),
    ),
    _of_superuser("foreign table", ("CREATE FOREIGN DATA WRAPPER {n}_w OPTIONS (a '1')", "CREATE SERVER {n}_s TYPE 't' VERSION '1' FOREIGN DATA WRAPPER {n}_w OPTIONS (host 'nowhere')", "CREATE USER MAPPING FOR CURRENT_USER SERVER {n}_s OPTIONS (\"user\" 'u')", "CREATE FOREIGN TABLE {n} (a integer OPTIONS (c 'd'), b text NOT NULL) SERVER {n}_s OPTIONS (t 'x')"), "DROP FOREIGN DATA WRAPPER {n}_w CASCADE",
        change("has other options", "ALTER FOREIGN TABLE {n} OPTIONS (SET t 'y')"),
        change("has a column more", "ALTER FOREIGN TABLE {n} ADD e integer", "ALTER FOREIGN TABLE {n} DROP e"),
        change("is dropped", "DROP FOREIGN TABLE {n}"),
        change("has another server", "ALTER SERVER {n}_s OPTIONS (SET host 'elsewhere')"),
        change("has a server of another version", "ALTER SERVER {n}_s VERSION '2'"),
        change("has another user mapping", "ALTER USER MAPPING FOR CURRENT_USER SERVER {n}_s OPTIONS (SET \"user\" 'v')"),
        change("has no user mapping", "DROP USER MAPPING FOR CURRENT_USER SERVER {n}_s"),
        change("has a wrapper of other options", "ALTER FOREIGN DATA WRAPPER {n}_w OPTIONS (SET a '2')"),
        change("has a server for others", "GRANT USAGE ON FOREIGN SERVER {n}_s TO property_reader"),
        change("is commented", ("COMMENT ON FOREIGN TABLE {n} IS 'new'", "COMMENT ON SERVER {n}_s IS 'new'", "COMMENT ON FOREIGN DATA WRAPPER {n}_w IS 'new'")),
    ),
    _of_superuser("operator class", ("CREATE OPERATOR FAMILY {n}_f USING btree", _CLASS, "CREATE TABLE {n}_t (a integer)", "CREATE INDEX {n}_i ON {n}_t (a {n})"), ("DROP TABLE {n}_t", "DROP OPERATOR FAMILY {n}_f USING btree"),
        change("has a family with more", "ALTER OPERATOR FAMILY {n}_f USING btree ADD OPERATOR 1 < (integer, bigint), FUNCTION 1 btint48cmp(integer, bigint)"),
        change("is commented", ("COMMENT ON OPERATOR CLASS {n} USING btree IS 'new'", "COMMENT ON OPERATOR FAMILY {n}_f USING btree IS 'new'")),
        change("is another index's no more", "DROP INDEX {n}_i", "CREATE INDEX {n}_i ON {n}_t (a)"),
    ),
    _of_superuser("transform", "CREATE TRANSFORM FOR integer LANGUAGE sql (FROM SQL WITH FUNCTION prsd_lextype(internal), TO SQL WITH FUNCTION int4recv(internal))", "DROP TRANSFORM FOR integer LANGUAGE sql",
        change("is dropped", "DROP TRANSFORM FOR integer LANGUAGE sql"),
        change("comes back half", ("DROP TRANSFORM FOR integer LANGUAGE sql", "CREATE TRANSFORM FOR integer LANGUAGE sql (FROM SQL WITH FUNCTION prsd_lextype(internal))")),
        change("is commented", "COMMENT ON TRANSFORM FOR integer LANGUAGE sql IS 'new'"),
    ),
    _of_superuser("base type", ("CREATE TYPE {n}", "CREATE FUNCTION {n}_in(cstring) RETURNS {n} LANGUAGE internal STRICT IMMUTABLE AS 'int4in'", "CREATE FUNCTION {n}_out({n}) RETURNS cstring LANGUAGE internal STRICT IMMUTABLE AS 'int4out'", "CREATE TYPE {n} (INPUT = {n}_in, OUTPUT = {n}_out, LIKE = integer)", "CREATE TABLE {n}_t (a {n})", "INSERT INTO {n}_t VALUES ('7')"), ("DROP TABLE {n}_t", "DROP TYPE {n} CASCADE"),
        change("is commented", "COMMENT ON TYPE {n} IS 'new'"),
        change("has its rows changed", "UPDATE {n}_t SET a = '8'"),
    ),
    _of_superuser("language", ("CREATE FUNCTION {n}_h() RETURNS language_handler LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_call_handler'", "CREATE LANGUAGE {n} HANDLER {n}_h"), ("DROP LANGUAGE {n}", "DROP FUNCTION {n}_h()"),
        change("is trusted", ("DROP LANGUAGE {n}", "CREATE TRUSTED LANGUAGE {n} HANDLER {n}_h")),
        change("is commented", "COMMENT ON LANGUAGE {n} IS 'new'"),
    ),
    _of_superuser("access method", "CREATE ACCESS METHOD {n} TYPE INDEX HANDLER bthandler", "DROP ACCESS METHOD {n}",
        change("is commented", "COMMENT ON ACCESS METHOD {n} IS 'new'"),
        change("is dropped", "DROP ACCESS METHOD {n}"),
    ),
    _of_superuser("text search parser", ("CREATE TEXT SEARCH PARSER {n} (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end, LEXTYPES = prsd_lextype)", "CREATE TEXT SEARCH TEMPLATE {n}_t (INIT = dsimple_init, LEXIZE = dsimple_lexize)"), ("DROP TEXT SEARCH TEMPLATE {n}_t", "DROP TEXT SEARCH PARSER {n}"),
        change("is renamed", "ALTER TEXT SEARCH PARSER {n} RENAME TO {n}_x", "ALTER TEXT SEARCH PARSER {n}_x RENAME TO {n}"),
        change("is commented", ("COMMENT ON TEXT SEARCH PARSER {n} IS 'new'", "COMMENT ON TEXT SEARCH TEMPLATE {n}_t IS 'new'")),
        change("has its template dropped", "DROP TEXT SEARCH TEMPLATE {n}_t"),
    ),
    _of_superuser("publication of all tables", "CREATE PUBLICATION {n}_p FOR ALL TABLES", "DROP PUBLICATION {n}_p",
        change("publishes less", "ALTER PUBLICATION {n}_p SET (publish = 'insert')"),
        change("comes back for a schema", ("DROP PUBLICATION {n}_p", "CREATE PUBLICATION {n}_p FOR TABLES IN SCHEMA public")),
    ),
    _of_superuser("subscription", _SUBSCRIPTION, "DROP SUBSCRIPTION {n}",
        change("leads elsewhere", "ALTER SUBSCRIPTION {n} CONNECTION 'dbname=elsewhere'"),
        change("has an option", "ALTER SUBSCRIPTION {n} SET (synchronous_commit = 'on')"),
        change("is commented", "COMMENT ON SUBSCRIPTION {n} IS 'new'"),
    ),
)  # fmt: skip
