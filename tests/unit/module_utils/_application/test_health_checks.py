from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._application.health_checks import (
    Check,
    attend,
    find_failing_statements,
)
from ansible_collections.hosting.alembic.plugins.module_utils._core.job import Job
from ansible_collections.hosting.alembic.plugins.module_utils._verbs import dispatch
from tests.codes import refused
from tests.unit.stage import Host, in_process, script, sql


class Server:
    """Answers 503 some times, and then 200 with the header that it was sent."""

    def __init__(self) -> None:
        self.requested = 0
        self.ill = 0
        outer = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requested += 1
                code = 503 if outer.requested <= outer.ill else 302 if self.path == "/moved" else 200
                self.send_response(code)
                if code == 302:
                    self.send_header("Location", "/")
                self.end_headers()
                self.wfile.write(f"well, {self.headers.get('X-Shop')}".encode())

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.server.shutdown()
    made.server.server_close()


def tried(*checks: Check, retries: int = 0, follow: float = 10, cursor: Any = None) -> dict[str, Any]:
    options = {"retries": retries, "delay": 0.01, "follow": follow, "cursor": cursor or {}}
    return attend(list(checks), options, lambda _numbers: {})


@pytest.mark.parametrize(
    ("more", "path", "why"),
    [
        ({}, "", ""),
        ({"text": "well"}, "", ""),
        ({"text": "red", "headers": {"X-Shop": "red"}}, "", ""),
        ({"text": "ill"}, "", "its answer lacks 'ill'"),
        ({"status": 204}, "", "it answered 200, expected 204"),
        ({"status": [204, 200]}, "", ""),
        ({"status": 302}, "/moved", ""),
        ({}, "/moved", "it answered 302, expected 200"),
    ],
)
def test_an_answer_is_compared(server: Server, more: dict[str, Any], path: str, why: str) -> None:
    (result,) = tried(Check.of({"url": server.url + path, **more}))["results"]
    assert result == {"check": server.url + path, "passed": not why, "why": why}


def test_no_answer_is_reported(server: Server) -> None:
    server.server.shutdown()
    server.server.server_close()
    (result,) = tried(Check.of({"url": f"{server.url}/?token=secret"}))["results"]
    assert "refused" in result["why"]
    assert "secret" not in str(result)


def test_what_fails_is_tried_again_until_it_passes_and_no_longer(server: Server) -> None:
    server.ill = 2
    assert "503" in tried(Check.of({"url": server.url}), retries=1)["results"][0]["why"]
    server.requested = 0
    answer = tried(Check.of({"url": server.url}), retries=5)
    assert (answer["results"][0]["passed"], answer["tries"], server.requested) == (True, 3, 3)


def test_a_call_that_takes_too_long_goes_on_in_the_next_one(server: Server) -> None:
    server.ill = 2
    good, bad = Check.of({"url": server.url}), Check.of({"url": server.url, "text": "never"})
    first = tried(good, bad, retries=3, follow=0)
    assert (first["finished"], first["cursor"]) == (False, {"tries": 1, "failing": [0, 1]})
    second = tried(good, bad, retries=3, follow=0, cursor=first["cursor"])
    assert second["cursor"] == {"tries": 2, "failing": [1]}
    assert "lacks 'never'" in second["lines"][0]
    requested = server.requested
    last = tried(good, bad, retries=3, cursor=second["cursor"])
    assert [result["passed"] for result in last["results"]] == [True, False]
    assert server.requested == requested + 2


@pytest.mark.parametrize(
    "entry",
    [
        None,
        {},
        {"url": "ftp://shop"},
        {"url": "http://shop", "sql": "select 1", "expect": 1},
        {"url": "http://shop", "expect": 1},
        {"url": "http://shop", "status": "well"},
        {"url": "http://shop", "public": "yes"},
        {"sql": "select 1"},
        {"sql": "select 1", "expect": 1, "text": "x"},
        {"sql": "select 1", "expect": 1, "public": True},
    ],
)
def test_what_is_not_a_check_is_refused_with_an_example(entry: Any) -> None:
    with refused("health-check-invalid", "url:"):
        Check.of(entry)


@pytest.mark.parametrize(
    "url",
    [
        "https://monitor:{}@shop/health",
        "monitor:{}@shop/health",
        "https://monitor:a/{}@shop/health",
        "https://monitor:a?{}@shop/health",
        "https://shop/health?token={}",
    ],
)
def test_a_refusal_repeats_no_password_of_a_url(url: str) -> None:
    for entry in ({"url": url.format("sesame"), "statuss": 200}, url.format("sesame"), [url.format("sesame")]):
        with refused("health-check-invalid") as caught:
            Check.of(entry)
        assert "sesame" not in str(caught.value)


@pytest.mark.parametrize(
    ("expect", "rows", "passes"),
    [
        (0, [[0]], True),
        ("0", [[0]], True),
        (0, [[1]], False),
        (0, [], False),
        ([], [], True),
        ([["a", None], ["b", 2]], [["a", None], ["b", 2]], True),
        (["a", "b"], [["a"], ["b"]], True),
        (True, [[1]], True),
        (None, [[None]], True),
    ],
)
def test_rows_are_compared(expect: Any, rows: list[Any], passes: bool) -> None:
    check = Check.of({"sql": "select", "expect": expect})
    assert (check.find_rows_failure(rows) == "") == passes


def test_statements_are_executed_in_the_databases_and_change_nothing(host: Host, tmp_path: Path) -> None:
    host.ship("generic")
    files = [script(tmp_path / f"{name}.db", "create table item (a); insert into item values ('x:y')") for name in "ab"]
    entries = [{"name": path.stem, "url": f"sqlite:///{path}"} for path in files]
    checks = [
        Check.of({"sql": "select a from item where a = 'x:y'", "expect": "x:y"}),
        Check.of({"sql": "select count(*) from item", "expect": 2, "database": "b"}),
        Check.of({"sql": "delete from item", "expect": []}),
        Check.of({"sql": "select 1", "expect": 1, "database": "c"}),
        Check.of({"sql": "select b from item", "expect": []}),
    ]

    def execute(statements: list[dict[str, Any]]) -> dict[str, Any]:
        job = Job.from_options("health", {"root": str(host.root), "databases": entries, "statements": statements})
        answer = in_process(lambda: dispatch.do(job))
        return {str(number): printed for number, printed in answer["found"].items()}

    failing = find_failing_statements(checks, list(range(5)), execute)
    assert failing[0] == ""
    assert failing[1] == "b: it returned 1, expected 2"
    assert "readonly" in failing[2]
    assert "'c'" in failing[3]
    assert "no such column: b" in failing[4]
    assert [sql(path, "select count(*) from item") for path in files] == [[(1,)], [(1,)]]
