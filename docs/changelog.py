"""Writes CHANGELOG.md from changelogs/, what is not released yet too: python docs/changelog.py [--check].

antsibull-changelog renders it, and escapes every mark. Those that mean nothing are taken away: a person reads this in a
terminal, too.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

PROJECT = Path(__file__).resolve().parents[1]
PAGE = PROJECT / "CHANGELOG.md"
#: What is not released has no day yet; antsibull-changelog requires one, and does not print it.
SOME_DAY = "2000-01-01"

_HARMLESS = re.compile(r"""\\([.,:;!?()'"=/+&%@~{}\-\[\]#>])""")
_TOPICS = re.compile(r"(?ms)^\*\*Topics\*\*\n.*?(?=^<a id)")
_ANCHOR = re.compile(r'(?m)^<a id="[^"]*"></a>\n')
_CODE = re.compile(r"<(?:code|em class=\"title-reference\")>(.*?)</(?:code|em)>")


def render() -> str:
    """Return the changelog with what is in the fragments as a release."""
    version = str(yaml.safe_load((PROJECT / "galaxy.yml").read_text(encoding="utf-8"))["version"])
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        shutil.copy(PROJECT / "galaxy.yml", folder)
        shutil.copytree(PROJECT / "changelogs", folder / "changelogs")
        (folder / "plugins").mkdir()
        if list((folder / "changelogs" / "fragments").glob("*.yml")):
            _run(folder, "release", "--version", version, "--date", SOME_DAY)
        else:
            _run(folder, "generate")
        text = (folder / "CHANGELOG.md").read_text(encoding="utf-8")
    text = _ANCHOR.sub("", _TOPICS.sub("", text))
    plain = _CODE.sub(lambda found: "`" + re.sub(r"\\(.)", r"\1", found[1]) + "`", text)
    return _HARMLESS.sub(r"\1", plain)


def _run(folder: Path, *words: str) -> None:
    done = subprocess.run(["antsibull-changelog", *words], cwd=folder, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stdout + done.stderr)


def main() -> int:
    """Write the page, or say that it is stale."""
    new = render()
    if "--check" in sys.argv[1:]:
        is_stale = PAGE.read_text(encoding="utf-8") != new
        if is_stale:
            print("CHANGELOG.md does not show changelogs/fragments as they are: run python docs/changelog.py")
        return int(is_stale)
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
