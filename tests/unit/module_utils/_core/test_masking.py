"""Secrets in words: in every way they may be written, and every part of them."""

from __future__ import annotations

import ast
import base64
import html
import importlib
import json
import os
import re
import secrets
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._core.masking import PART, STARS, Mask, list_forms
from ansible_collections.hosting.alembic.plugins.module_utils._core.secrets import describe_encoding_remedy, mask_for
from tests.lab import PROJECT

OURS = "ansible_collections.hosting.alembic"
SERVICE_COMMANDS = ("start", "stop", "status", "ready")
#: Every character that URLs, shells, Python, JSON and HTML each write in their own way.
MARK = "mark@one%two/three?four#five&six+seven eight'nine\"ten\\eleven\ntwelve"
URL = f"postgresql://shop:{quote(MARK, safe='')}@db.example.net:5432/shop_production"

WRITTEN: dict[str, Any] = {
    "plain": lambda word: word,
    "quote": quote,
    "quote all": lambda word: quote(word, safe=""),
    "quote lower": lambda word: quote(word, safe="").lower(),
    "quote_plus": quote_plus,
    "repr": repr,
    "repr of repr": lambda word: repr(repr(word)),
    "json": json.dumps,
    "json of json": lambda word: json.dumps(json.dumps(word)),
    "json of repr": lambda word: json.dumps(f"ValueError({word!r})"),
    "repr of bytes": lambda word: repr(word.encode()),
    "html": html.escape,
    "shell": shlex.quote,
    "sql": lambda word: word.replace("'", "''"),
    "hex": lambda word: word.encode().hex(),
    "base64": lambda word: base64.b64encode(word.encode()).decode(),
    "basic auth": lambda word: base64.b64encode(f"shop:{word}".encode()).decode(),
    "basic auth, other user": lambda word: base64.b64encode(f"shop1:{word}".encode()).decode(),
    "urlsafe base64": lambda word: base64.urlsafe_b64encode(f"a:{word}".encode()).decode(),
    "shortened": lambda word: f"input_value='postgre...{word[-30:]}@localhost/api2'",
}


def leaked(text: str, secret: str) -> list[str]:
    """The parts of a secret, in any form, that are in a text."""
    parts = {form[at : at + PART] for form in list_forms(secret) for at in range(len(form) - PART + 1)}
    return sorted(part for part in parts if part in text)


@pytest.mark.parametrize("way", WRITTEN)
def test_no_part_of_a_secret_is_left_however_it_is_written(way: str) -> None:
    mask = mask_for({"databases": [{"name": "shop", "url": URL}]})
    text = f"before {WRITTEN[way](MARK)} after"
    shown = mask.hide_in_text(text)
    assert STARS in shown
    assert shown.startswith("before ")
    assert shown.endswith("after") or way.startswith("json") or "api2" in shown
    assert not leaked(shown, MARK), shown
    for word in ("three?four", "eleven", "seven"):
        assert word not in shown.replace("********", "")


@pytest.mark.parametrize("way", WRITTEN)
def test_letters_of_other_languages_are_hidden_however_they_are_written(way: str) -> None:
    secret = "p\N{LATIN SMALL LETTER A WITH DIAERESIS}ssw\N{LATIN SMALL LETTER O WITH DIAERESIS}rt-\N{EURO SIGN}-lich"
    written = str(WRITTEN[way](secret))
    assert not leaked(Mask([secret]).hide_in_text(f"<{written}>"), secret)
    assert "xc3" not in Mask([secret]).hide_in_text(f"<{written}>")


def test_random_secrets_leave_no_trace() -> None:
    for length in (8, 13, 40):
        secret = secrets.token_urlsafe(length)[:length]
        mask = Mask([secret])
        for write in WRITTEN.values():
            assert not leaked(mask.hide_in_text(f"<{write(secret)}>"), secret)


@pytest.mark.parametrize("password", ["parse", "app", "shop", "db", "a", "post"])
def test_short_secrets_do_not_eat_words(password: str) -> None:
    mask = mask_for({"databases": [{"name": "app", "url": f"postgresql://shop:{password}@db/post"}]})
    text = "parsed by app.shop as postgresql://shop:***@db/post; an application"
    assert mask.hide_in_text(text) == text


MESSAGES = [
    "The url of database 'app' cannot be parsed: its host would contain an @. Write the password into `password`.",
    "Database 'app' cannot be reached: connection refused. Check the server.",
    "Run r1 was interrupted in database 'app' and has not been recovered\nThe downgrade failed; restore the backup.",
]


@pytest.mark.parametrize(
    "password", ["parsed", "database", "databases-2024", "connection1", "recovered", "Interrupted"]
)
def test_an_ordinary_word_of_a_message_is_not_a_secret_there_and_one_where_it_is_a_value(password: str) -> None:
    mask = mask_for({"databases": [{"name": "app", "url": f"postgresql://shop:{password}@db/post"}]})
    assert [mask.hide_in_text(message) for message in MESSAGES] == MESSAGES
    for value in (
        f"postgresql://shop:{password}@db/post",
        f"password={password}",
        f"the password is {password}",
        f"password: {password} (wrong)",
        f"env.py printed\n{password}\nand more",
        password,
        f"ValueError({password!r})",
        f"/{password}/",
    ):
        assert password not in mask.hide_in_text(value)


@pytest.mark.parametrize("password", ["directory", "database"])
@pytest.mark.parametrize(
    "text",
    [
        "FATAL: password authentication failed: {} is wrong",
        "password {} rejected",
        "the password was {}.",
        "the password {}",
        "the password is\n{} and no other",
        "the token of the service is now {}, not another",
        "PGPASSWORD {} in the environment",
        "-p {} -h x",
        "mysql -u shop --pass {} shop",
        "ALTER USER shop IDENTIFIED BY {} ;",
        "alter user shop identified  by {}",
        "sent `{}`",
        "it sent `{}` and more",
        "secrets: {}",
    ],
)
def test_a_word_of_ours_where_a_value_is_named_is_a_secret(text: str, password: str) -> None:
    assert Mask([password]).hide_in_text(f"the {password} was read") == f"the {password} was read"
    assert Mask([password]).hide_in_text(text.format(password)) == text.format(STARS)


REMEDY = describe_encoding_remedy("migrate_password")


@pytest.mark.parametrize("word", ["URL", "leave", "percent-encode", "there"])
def test_a_sentence_of_ours_stays_although_it_names_a_password(word: str) -> None:
    assert word in REMEDY
    assert Mask([word]).hide_in_text(REMEDY) == REMEDY


@pytest.mark.parametrize("password", ["hunter", "sunshine", "correcthorsebattery"])
def test_a_word_that_is_none_of_ours_is_a_secret_everywhere(password: str) -> None:
    mask = Mask([password])
    assert mask.hide_in_text(f"it cannot be {password} and more") == f"it cannot be {STARS} and more"


def messages() -> Iterator[str]:
    """Yield the sentences of our errors, each once its module is loaded."""
    for path in sorted((PROJECT / "plugins" / "module_utils").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("Refused", "Failed"):
                importlib.import_module(".".join([OURS, *path.relative_to(PROJECT).with_suffix("").parts]))
                yield from (str(each.value) for each in node.args if isinstance(each, ast.Constant) and each.value)


def test_no_message_of_ours_changes_where_a_password_is_one_of_its_words() -> None:
    known = {
        (text, word)
        for text in messages()
        if " " in text
        for word in re.findall(r"(?:^|(?<= ))[A-Za-z]{3,}(?= |$)", text)
    }
    assert len(known) > 800
    assert [(text, word) for text, word in sorted(known) if Mask([word]).hide_in_text(text) != text] == []


def test_a_short_secret_that_is_a_word_of_its_own_goes() -> None:
    mask = mask_for({"databases": [{"name": "app", "url": "postgresql://shop:pa$$w@db/post"}]})
    assert mask.hide_in_text("shop:pa$$w@db") == f"shop:{STARS}@db"


def test_names_that_are_shown_stay_although_a_secret_holds_them() -> None:
    environment = {"DATABASE_URL": f"{URL}?sslpassword=hunter2hunter2", "PORT": "5432", "DEBUG": "false"}
    mask = mask_for({"databases": [{"name": "shop", "url": URL, "environment": environment}]})
    text = "shop at postgresql://shop@db.example.net:5432/shop_production: 5432 false DATABASE_URL"
    assert mask.hide_in_text(text) == text
    assert "hunter2" not in mask.hide_in_text("hunter2hunter2")


@pytest.mark.parametrize(
    "options",
    [
        {"databases": [{"name": "app", "url": f"postgresql://u@h/d?sslpassword={quote_plus(MARK)}"}]},
        {"databases": [{"name": "app", "url": f"postgresql://u@h/d?password={quote(MARK, safe='')}"}]},
        {"databases": [{"name": "app", "url": "sqlite://", "password": MARK}]},
        {"databases": [{"name": "app", "url": "sqlite://", "admin_url": URL}]},
        {"databases": [{"name": "app", "url": "sqlite://", "rehearse_password": MARK}]},
        {"databases": [{"name": "app", "url": "sqlite://", "environment": {"KEY": MARK}}]},
        {"databases": [{"name": "app", "url": "sqlite://", "x_arguments": [f"key={MARK}"]}]},
        {"databases": [{"name": "app", "url": "sqlite://", "x_arguments": [MARK]}]},
        {"checks": [{"url": "http://h/", "headers": {"Authorization": f"Bearer {MARK}"}}]},
        {"checks": [{"url": f"http://h/health?token={quote_plus(MARK)}"}]},
        {"checks": [{"url": f"http://u:{quote(MARK, safe='')}@h/health"}]},
        {"pip_arguments": ["--index-url", f"https://u:{quote(MARK, safe='')}@index.example.net/simple"]},
        {"installation": {"pip_arguments": [f"--extra-index-url=https://{quote(MARK, safe='')}@index.example.net/"]}},
        {"pgbouncer_url": URL},
        {"pgbouncer_password": MARK},
        {"backup_command": ["mysqldump", f"--password={MARK}", "{database}"]},
        {"backup_check_command": ["check", "--token", MARK]},
        {"restore_command": ["restore", f"-p{MARK}"]},
        {"backup_copy_command": ["sh", "-c", f"PGPASSWORD={shlex.quote(MARK)} rsync {{path}} host:"]},
        {"backup_command": ["dump", f"postgresql://shop:{quote(MARK, safe='')}@db/{{database}}"]},
        {"databases": [{"name": "a", "url": f"postgresql://db/a?sslpassword={quote(MARK, safe='')}"}]},
        {"alembic_options": {"vault_token": MARK}},
        {"alembic_options": {"sqlalchemy.url": URL}},
        *({"services": [{"name": "shop", name: ["ctl", "--token", MARK]}]} for name in SERVICE_COMMANDS),
        {"services": [{"name": "shop", "ready": ["curl", "-H", f"Authorization: Bearer {MARK}", "http://h/"]}]},
        {"services": [{"name": "shop", "ready": ["curl", "-u", f"shop:{MARK}", "http://h/"]}]},
        {"services": [{"name": "shop", "ready": ["curl", f"http://h/health?token={quote_plus(MARK)}"]}]},
    ],
)
def test_every_option_that_may_hold_a_secret_is_known(options: dict[str, Any]) -> None:
    shown = mask_for(options).hide_in_text(f"it said {MARK} and {quote(MARK, safe='')} and …{MARK[30:50]!r}")
    assert not leaked(shown, MARK)
    assert shown.startswith("it said ")


@pytest.mark.parametrize("value", ["20241215", "hun2t", "/aGh3jKl9x.Qw-zz", "p4s"])
def test_what_is_named_as_a_secret_is_one_whatever_it_looks_like(value: str) -> None:
    for options in (
        {"databases": [{"name": "a", "url": "sqlite://", "environment": {"DB_PASSWORD": value}}]},
        {"databases": [{"name": "a", "url": "sqlite://", "x_arguments": [f"password={value}"]}]},
        {"discover": [{"name": "a", "template": {"environment": {"DB_PASSWORD": value}}}]},
        {"alembic_options": {"vault_token": value}},
        {"checks": [{"url": "http://h/", "headers": {"X-Api-Key": value}}]},
        {"checks": [{"url": "http://h/", "headers": {"Authorization": f"Bearer {value}"}}]},
        {"checks": [{"url": f"http://h/health?token={value}"}]},
        {"services": [{"name": "shop", "ready": ["curl", "-H", f"Authorization: Bearer {value}", "http://h/"]}]},
        {"services": [{"name": "shop", "ready": ["curl", "-u", f"shop:{value}", "http://h/"]}]},
        {"services": [{"name": "shop", "ready": ["curl", f"http://h/health?token={value}"]}]},
    ):
        mask = mask_for(options)
        assert value not in mask.hide_in_text(f"login with {value} and '{value}' failed"), options
        assert mask.hide_in_text("hun2ters 1202412156 p4st") in ("hun2ters 1202412156 p4st", f"hun2ters 1{STARS}6 p4st")


def test_settings_about_a_secret_are_not_secrets() -> None:
    settings = {
        "TOKEN_REQUIRED": "true",
        "DB_PASSWORD_FILE": "/run/secrets/db",
        "TOKEN_TTL": "3600",
        "PASSWORD": "",
        "MODE": "1234567",
        "TOKEN_URL": "https://auth.example.net/token",
    }
    options = {
        "databases": [{"name": "a", "url": "sqlite://", "environment": settings}],
        "services": [{"name": "shop.service", "start": ["systemctl", "start", "shop.service"]}],
        "alembic_options": {"version_table": "shop_versions", "script_location": "shop:migrations"},
    }
    text = " ".join([*settings.values(), "systemctl start shop.service: shop_versions shop:migrations"])
    assert mask_for(options).hide_in_text(text) == text


def test_words_are_blanked_and_what_programs_compare_is_not() -> None:
    mask = Mask(["0002_a_revision"])
    result = {"name": "x", "after": ["0002_a_revision"], "error": {"what": "0002_a_revision failed", "why": 3}}
    assert mask.hide_in_data(result) == {
        "name": "x",
        "after": ["0002_a_revision"],
        "error": {"what": f"{STARS} failed", "why": 3},
    }


def test_a_large_text_without_secrets_costs_little() -> None:
    text = "ordinary words of a traceback " * 20_000
    assert Mask([MARK]).hide_in_text(text) == text


def test_the_passwords_of_a_passfile_are_secrets(tmp_path: Path) -> None:
    file = tmp_path / "pgpass"
    file.write_text("# host:port:database:user:password\n*:*:*:shop:colon\\:and\\\\more-of-it\n")
    mask = mask_for({"databases": [{"name": "a", "url": f"postgresql://shop@db/a?passfile={quote(str(file))}"}]})

    assert "more-of-it" not in mask.hide_in_text("it said 'colon:and\\more-of-it'")
    assert mask.hide_in_text("shop@db/a") == "shop@db/a"


def test_a_fifo_in_place_of_a_passfile_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert not mask_for({"databases": [{"name": "a", "url": f"postgresql://db/a?passfile={tmp_path / 'fifo'}"}]})


def test_programs_and_formats_of_a_command_are_not_secrets() -> None:
    command = ["/usr/bin/pg_dump", "--format=custom", "--file", "{path}/dump", "-Fc", "--no-owner", "{database}"]
    mask = mask_for({"backup_command": command})
    printed = "/usr/bin/pg_dump --format=custom --no-owner failed with exit code 1"
    assert mask.hide_in_text(printed) == printed
