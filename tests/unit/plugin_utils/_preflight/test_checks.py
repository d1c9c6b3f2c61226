from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.plugin_utils._preflight.checks import list_problems

GOOD = {"name": "app", "url": "sqlite:////srv/app.db"}


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    return {"source": str(tmp_path), "databases": [dict(GOOD)], "run": "", "requirements": "requirements.txt"}


def test_what_is_right_has_no_problem(options: dict[str, Any]) -> None:
    full = {
        "name": "all of it",
        "url": "sqlite:////srv/b.db",
        "password": "x",
        "direct_url": "sqlite:////srv/b.db",
        "target": "head",
        "url_variables": ["DATABASE_URL"],
        "environment": {"A": "b"},
        "x_arguments": ["a=b"],
    }
    options["databases"].append(full)

    assert list_problems(options) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"source": "/nowhere"}, ["migrate_source '/nowhere' is not a directory", "Correct the path"]),
        ({"source": ""}, ["migrate_source is not set", "Set it to the migrations directory"]),
        ({"source": ["a"]}, ["migrate_source must be a string and is a list"]),
        ({"source": None}, ["migrate_source must be a string and is nothing"]),
        ({"services": "shop"}, ["migrate_services must be a list and is a string"]),
        (
            {"services": [{"name": "shop", "stop": ["x"]}]},
            ["The service 'shop' cannot be used", "Name a unit of systemd"],
        ),
        ({"health_checks": [{"url": "shop"}]}, ["its url is neither http nor https", "Write {url: http"]),
        ({"wheelhouse": "/nowhere"}, ["migrate_wheelhouse '/nowhere' is not a directory", "Correct the path"]),
        ({"python": ["python3"]}, ["migrate_python must be a string and is a list"]),
        ({"virtualenv": True}, ["migrate_virtualenv must be a string and is true or false"]),
        ({"requirements": 5}, ["migrate_requirements must be a string and is a number"]),
        ({"run": "../up"}, ["'../up'", "Use letters, digits"]),
        ({"databases": None}, ["migrate_databases must be a list and is nothing"]),
        ({"databases": {}}, ["migrate_databases must be a list and is a dictionary"]),
        ({"databases": "sqlite:////a"}, ["migrate_databases must be a list and is a string"]),
        ({"databases": []}, ["is empty", "Name at least one database"]),
        ({"databases": ["sqlite:////a"]}, ["Entry 1", "must be a dictionary and is a string"]),
        ({"databases": [GOOD, GOOD]}, ["2 entries named 'app'", "Give each a name of its own"]),
        ({"databases": [{"url": "sqlite:////a"}]}, ["Entry 1", "without a name", "has no name"]),
        ({"databases": [{"name": "app"}]}, ["Entry 1", "(app)", "has no url"]),
        ({"databases": [{**GOOD, "url": " "}]}, ["url is empty"]),
        ({"databases": [{**GOOD, "name": 5}]}, ["name must be a string and is a number"]),
        ({"databases": [{**GOOD, "pasword": "x"}]}, ["unknown key 'pasword'", "Known are name, url, password"]),
        ({"databases": [{**GOOD, "environment": ["A=b"]}]}, ["environment must be a dictionary and is a list"]),
        ({"databases": [{**GOOD, "x_arguments": "a=b"}]}, ["x_arguments must be a list and is a string"]),
        ({"databases": [{**GOOD, "url_variables": [1]}]}, ["url_variables must hold strings only"]),
        ({"databases": [{**GOOD, "target": ["head"]}]}, ["target must be a string and is a list"]),
    ],
)
def test_each_problem_says_where_it_is_and_what_to_do(
    options: dict[str, Any], change: dict[str, Any], words: list[str]
) -> None:
    (problem,) = list_problems({**options, **change})

    for word in words:
        assert word in problem
    assert problem.endswith(".")


def test_all_problems_are_reported_at_once(options: dict[str, Any]) -> None:
    wrong = {**options, "source": "/nowhere", "run": "a b", "databases": [{"name": "app"}, {"url": "x"}, 5]}

    assert len(list_problems(wrong)) == 5


def test_no_secret_is_repeated(options: dict[str, Any]) -> None:
    entry = {"name": "app", "url": ["postgresql://u:hunter2@server/x"], "password": ["hunter2"], "hunter": "hunter2"}

    assert "hunter2" not in " ".join(list_problems({**options, "databases": [entry]}))


def source(**more: object) -> dict[str, object]:
    template = {"name": "{folder}", "url": "sqlite:///{path}"}
    return {"name": "sites", "files": ["/srv/*/app.db"], "template": template, **more}


def tenants(**more: object) -> dict[str, object]:
    template = {"name": "{schema}", "url": "postgresql://u@h/d", "schema": "{schema}"}
    return {"name": "tenants", "schemas": ["t_*"], "url": "postgresql://u@h/d", "template": template, **more}


def test_schemas_of_one_database_and_of_each_that_is_found(options: dict[str, Any]) -> None:
    each = {"name": "{d}_{schema}", "url": "postgresql://u@h/{d}", "schema": "{schema}"}
    found = tenants(name="found", url=None, command=["/bin/list"], template=each)
    options.update(databases=[], discover=[tenants(), found])
    assert list_problems(options) == []


def test_sources_in_place_of_databases(options: dict[str, Any]) -> None:
    options.update(databases=[], discover=[source(exclude=["x*"], minimum=3, maximum_change=25.5, timeout=5)])
    assert list_problems(options) == []


@pytest.mark.parametrize(
    ("discover", "words"),
    [
        ("sites", ["migrate_discover must be a list and is a string"]),
        ([5], ["Entry 1 of migrate_discover must be a dictionary and is a number"]),
        ([source(), source()], ["2 entries named 'sites'"]),
        ([source(sql="select 1")], ["must have one of sql, files, command, schemas and has sql and files", "no url"]),
        ([source(files=[])], ["has none"]),
        ([source(files=["srv/*.db"])], ["absolute paths without .."]),
        ([source(files=["/srv/../*.db"])], ["absolute paths without .."]),
        ([source(minimum=-1)], ["minimum must be at least 0"]),
        ([source(minimum=True)], ["minimum must be a whole number and is true or false"]),
        ([source(minimum="1")], ["minimum must be a whole number and is a string"]),
        ([source(limit=1)], ["unknown key 'limit'"]),
        ([source(template={"name": "{folder}", "uri": "x"})], ["unknown key 'uri'", "has no url"]),
        ([source(template={"name": "app", "url": "sqlite:///{path}"})], ["name in its template names no column"]),
        ([source(template={"name": "{folder}", "url": "{folder}://u@h/d"})], ["url in its template is not a URL"]),
        ([source(template={"name": "{datname}", "url": "sqlite:///{path}"})], ["its template names {datname}"]),
        ([{"files": ["/srv/*.db"], "template": {}}], ["has no name"]),
        ([tenants(url=None)], ["no url of their database"]),
        ([source(schemas=["t_*"])], ["has schemas of files", "schema is missing"]),
        ([tenants(template={"name": "{schema}", "url": "postgresql://u@h/d"})], ["schema is missing"]),
        ([tenants(schemas=[])], ["has none", "schemas is missing"]),
        ([tenants(command=["/bin/list"])], ["has a url and no sql", "url in its template names no column"]),
    ],
)
def test_what_is_wrong_with_a_source_is_reported(options: dict[str, Any], discover: Any, words: list[str]) -> None:
    found = " ".join(list_problems({**options, "discover": discover}))
    assert [each for each in words if each not in found] == []
