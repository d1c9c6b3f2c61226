from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from ansible import constants

from ansible_collections.hosting.alembic.plugins.module_utils._core.errors import Refused
from ansible_collections.hosting.alembic.plugins.plugin_utils._rollout import manifest
from ansible_collections.hosting.alembic.plugins.plugin_utils._rollout.manifest import Database, Host, Manifest
from tests.codes import refused


@pytest.fixture(autouse=True)
def _invocation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "ansible"
    folder.mkdir()
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(folder))


def made(run: str = "r1") -> Manifest:
    app = Database("head", ["0001"], ["0002"], ["0002"], "upgraded", [{"revision": "0002", "message": "notes"}])
    return Manifest(run, batches=[["web1"]], hosts={"web1": Host("r1", "migrated", 1, 1, databases={"app": app})})


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "runs"
    manifest.keep(made(), str(folder))
    assert manifest.read(folder / "r1.json") == manifest.read_current()
    found = manifest.read_current()
    assert found is not None
    assert found.hosts == made().hosts
    assert found.began
    assert found.changed


def test_it_is_its_owners_alone(tmp_path: Path) -> None:
    manifest.keep(made(), str(tmp_path / "runs"))
    assert stat.S_IMODE((tmp_path / "runs").stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "runs").iterdir()] == [0o600]


def test_without_a_folder_it_is_kept_for_this_invocation_only(tmp_path: Path) -> None:
    manifest.keep(made(), "")
    assert manifest.read_current() is not None
    assert [path.name for path in tmp_path.iterdir()] == ["ansible"]


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with refused("run-record-not-written", "r1"):
        manifest.keep(made(), str(tmp_path / "runs"))


def test_what_cannot_be_read_is_not_a_manifest(tmp_path: Path) -> None:
    (tmp_path / "r1.json").write_text("{")
    assert manifest.read(tmp_path / "r1.json") is None
    assert manifest.read(tmp_path / "r2.json") is None


def test_a_run_id_leads_nowhere_else(tmp_path: Path) -> None:
    with pytest.raises(Refused):
        manifest.locate_manifest(str(tmp_path), "../elsewhere")


def test_only_so_many_are_kept_and_the_newest_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "KEPT", 2)
    for number in (1, 2, 3):
        manifest.keep(made(f"r{number}"), str(tmp_path / "runs"))
        os.utime(tmp_path / "runs" / f"r{number}.json", (number, number))
    manifest.keep(made("r4"), str(tmp_path / "runs"))
    assert sorted(path.stem for path in (tmp_path / "runs").iterdir()) == ["r3", "r4"]


def test_files_of_others_in_their_folder_are_never_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "KEPT", 1)
    manifest.keep(made("r1"), str(tmp_path))
    (tmp_path / "copy.json").write_text((tmp_path / "r1.json").read_text())
    for name, text in (("package.json", '{"name": "shop"}'), ("empty.json", "{}"), ("list.json", "[]")):
        (tmp_path / name).write_text(text)
    for path in tmp_path.glob("*.json"):
        os.utime(path, (1, 1))

    manifest.keep(made("r2"), str(tmp_path))

    kept = {path.stem for path in tmp_path.glob("*.json")}
    assert kept == {"copy", "package", "empty", "list", "r2"}


def test_how_often_a_host_was_begun(tmp_path: Path) -> None:
    manifest.keep(made(), str(tmp_path))
    assert manifest.count_earlier_parts(str(tmp_path), "r1", "web1") == 1
    assert manifest.count_earlier_parts(str(tmp_path), "r1", "web2") == 0
    assert manifest.count_earlier_parts(str(tmp_path), "r2", "web1") == 0
    assert manifest.count_earlier_parts("", "r1", "web1") == 0


def test_a_manifest_of_an_older_version_and_one_with_more_keys_are_read(tmp_path: Path) -> None:
    written = Manifest(
        "r1", batches=[["web1"]], hosts={"web1": Host("r1", databases={"app": Database("head")})}
    ).as_facts()
    more = {**written, "more": 1, "hosts": {"web1": {**written["hosts"]["web1"], "more": 1}}}
    more["hosts"]["web1"]["databases"] = {"app": {**written["hosts"]["web1"]["databases"]["app"], "more": [1]}}
    older = json.loads(json.dumps({key: value for key, value in written.items() if key != "format"}))
    del older["hosts"]["web1"]["databases"]["app"]["code"]

    for name, facts in (("older", older), ("more", more)):
        (tmp_path / f"{name}.json").write_text(json.dumps(facts))
        found = manifest.read(tmp_path / f"{name}.json")
        assert found is not None
        assert found.as_facts() == Manifest.of(written).as_facts()


@pytest.mark.parametrize(("older", "state"), [("led_back", "rolled_back"), ("not_led_back", "not_rolled_back")])
def test_a_state_of_an_older_manifest_is_known_by_its_name_of_now(tmp_path: Path, older: str, state: str) -> None:
    facts = Manifest("r1", batches=[["web1"]], hosts={"web1": Host("r1", older)}).as_facts()
    (tmp_path / "r1.json").write_text(json.dumps(facts))

    found = manifest.read(tmp_path / "r1.json")

    assert found is not None
    assert (found.hosts["web1"].state, found.bad) == (state, ["web1"] if older == "not_led_back" else [])
