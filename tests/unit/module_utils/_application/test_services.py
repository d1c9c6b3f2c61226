from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hosting.alembic.plugins.module_utils._application.services import Service
from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Failed
from tests.codes import refused


def by_command(folder: Path, name: str = "shop", **more: Any) -> dict[str, Any]:
    """A service that runs while a file is there."""
    runs = str(folder / name)
    return {"name": name, "start": ["touch", runs], "stop": ["rm", runs], "status": ["test", "-e", runs], **more}


def systemctl(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program of that name: shop.service is active while a file is there."""
    program = folder / "systemctl"
    program.write_text(f"""#!/bin/sh
echo "$*" >> {folder}/calls
case "$1" in
  start) touch {folder}/active ;;
  stop) rm {folder}/active ;;
  show)
    case "$5" in
      *shop.service) echo LoadState=loaded
        test -e {folder}/active && echo ActiveState=active || echo ActiveState=inactive ;;
      *broken.service) echo "System has not been booted with systemd" >&2; exit 1 ;;
      *) echo LoadState=not-found; echo ActiveState=inactive ;;
    esac ;;
esac
""")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder / "calls"


def test_a_service_by_commands_is_stopped_and_started(tmp_path: Path) -> None:
    service = Service.of(by_command(tmp_path))
    assert not service.is_running()
    service.launch()
    assert service.is_running()
    service.halt()
    assert not service.is_running()
    assert Service.of(service.as_facts()) == service


def test_a_unit_of_systemd_is_read_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = systemctl(tmp_path, monkeypatch)
    service = Service.of("shop.service")
    service.launch()
    assert service.is_running()
    service.halt()
    assert not service.is_running()
    done = [line for line in calls.read_text().splitlines() if not line.startswith("show")]
    assert done == ["start -- shop.service", "stop -- shop.service"]


@pytest.mark.parametrize("name", ["gone.service", "broken.service"])
def test_a_unit_that_is_unknown_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    systemctl(tmp_path, monkeypatch)
    with refused("service-unknown", name):
        Service.of(name).is_running()


def test_what_a_start_leaves_running_blocks_nothing(tmp_path: Path) -> None:
    runs = tmp_path / "shop"
    start = ["sh", "-c", f"sleep 30 & echo $! > {runs}"]
    service = Service.of(
        {**by_command(tmp_path), "start": start, "stop": ["sh", "-c", f"kill $(cat {runs}); rm {runs}"]}
    )
    service.launch()
    assert service.is_running()
    service.halt()


@pytest.mark.parametrize(
    ("more", "do", "words"),
    [
        ({"stop": ["false"]}, "halt", "could not be stopped"),
        ({"stop": ["true"]}, "halt", "still runs"),
        ({"stop": ["sleep", "30"]}, "halt", "does not follow"),
        ({"ready": ["false"]}, "launch", "does not answer false"),
        ({"status": ["/nowhere"]}, "launch", "/nowhere: No such file"),
    ],
)
def test_what_does_not_follow_fails_in_words(tmp_path: Path, more: dict[str, Any], do: str, words: str) -> None:
    (tmp_path / "shop").touch()
    service = Service.of({**by_command(tmp_path), **more, "timeout": 0.5})
    with pytest.raises(Failed) as failure:
        getattr(service, do)()
    assert words in str(failure.value)


@pytest.mark.parametrize(
    "entry",
    [
        None,
        "",
        {},
        {"name": "shop", "start": ["true"]},
        {"name": "shop", "stat": ["true"]},
        {"name": "shop", "ready": "curl -f http://localhost/"},
        {"name": "shop", "timeout": "soon"},
        {"name": "shop", "timeout": True},
    ],
)
def test_what_is_not_a_service_is_refused_with_an_example(entry: Any) -> None:
    with refused("service-invalid", "shop.service"):
        Service.of(entry)


def test_a_refusal_repeats_no_command() -> None:
    for entry in ({"start": ["login", "--password=sesame"]}, ["login", "--password=sesame"]):
        with refused("service-invalid") as caught:
            Service.of(entry)
        assert "sesame" not in str(caught.value)


@pytest.mark.parametrize(
    "more", [{"stop": ["sh", "-c", "sleep 30", "--token=sesame"]}, {"ready": ["false", "--token=sesame"]}]
)
def test_a_failure_repeats_no_words_of_a_command(tmp_path: Path, more: dict[str, Any]) -> None:
    """The state of a maintenance has the commands, and what ends it later need not be given them."""
    (tmp_path / "shop").touch()
    service = Service.of({**by_command(tmp_path), **more, "timeout": 0.3})
    with pytest.raises(Failed) as failure:
        service.launch() if "ready" in more else service.halt()
    assert "sesame" not in str(failure.value)
