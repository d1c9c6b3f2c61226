"""Builds the site from the pages of this folder and from the documentation of the modules: python docs/build.py.

The site is written to .hosting-alembic/docs/html. Every warning fails the build, and so does a link to a page or a
heading that does not exist. Nothing is fetched from a network.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

PROJECT = Path(__file__).resolve().parents[1]
WORK = PROJECT / ".hosting-alembic" / "docs"
# Pages at the root of the project, and files that pages lead to.
BESIDE = [
    "CHANGELOG.md",
    "CODE_OF_CONDUCT.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "SECURITY.md",
]
REDIRECT = (
    '<!doctype html><meta http-equiv="refresh" content="0; url=docs/index.html"><a href="docs/index.html">docs</a>'
)


def assemble(source: Path) -> None:
    """Copy the pages into a folder of their own, as they are in the project, so that links between them hold."""
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(PROJECT / "docs", source / "docs", ignore=shutil.ignore_patterns("*.py", "__pycache__", "docsite"))
    shutil.copy(PROJECT / "docs" / "conf.py", source / "conf.py")
    for name in BESIDE:
        if (PROJECT / name).is_file():
            shutil.copy(PROJECT / name, source / name)


def document_modules(folder: Path) -> None:
    """Have antsibull-docs write a page for each module and lookup, and an index of them."""
    folder.mkdir(parents=True, exist_ok=True)
    # The name says which collection is meant: this checkout, whichever else this user has installed.
    environment = {**os.environ, "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg")}
    environment["ANSIBLE_COLLECTIONS_PATH"] = str(PROJECT / "collections")
    words = ["antsibull-docs", "collection-plugins", "--use-current", "--fail-on-error"]
    words += ["--no-add-antsibull-docs-version", "--dest-dir", str(folder), "hosting.alembic"]
    done = subprocess.run(words, env=environment, check=False, text=True, capture_output=True)
    if done.returncode != 0:
        sys.exit(done.stdout + done.stderr)
    # The role has one page of its own, reference/variables.md, with groups and examples.
    (folder / "migrate_role.rst").unlink()
    (folder / "environment_variables.rst").unlink(missing_ok=True)
    modules = [(path.stem, _short_description(path)) for path in sorted(folder.glob("*_module.rst"))]
    lookups = [(path.stem, _short_description(path)) for path in sorted(folder.glob("*_lookup.rst"))]
    pages = [stem for stem, _ in modules + lookups]
    index = ["# Modules and lookups", "", "Generated from the documentation that `ansible-doc` prints.", ""]
    for kind, entries in (("module", modules), ("lookup", lookups)):
        index += [f"| {kind} | what it does |", "| --- | --- |"]
        index += [f"| [{stem.rsplit('_', 1)[0]}]({stem}.rst) | {text} |" for stem, text in entries]
        index.append("")
    index += ["```{toctree}", ":hidden:", "", *pages, "```", ""]
    (folder / "index.md").write_text("\n".join(index), encoding="utf-8")


def _short_description(page: Path) -> str:
    """Return what a page of antsibull-docs says behind the name in its title."""
    lines = page.read_text(encoding="utf-8").splitlines()
    title = next(line for line in lines if line.startswith("hosting.alembic.") and " -- " in line)
    return title.split(" -- ", 1)[1].strip()


class _Page(HTMLParser):
    """The links and the anchors of one page."""

    def __init__(self) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value and name == "id":
                self.anchors.add(value)
            if value and (name, tag) in {("href", "a"), ("src", "img"), ("href", "link"), ("src", "script")}:
                self.links.add(value)


def find_broken_links(site: Path) -> list[str]:
    """Return the links that lead to no file or to no heading of the site."""
    pages: dict[Path, _Page] = {}
    for path in site.rglob("*.html"):
        pages[path] = page = _Page()
        page.feed(path.read_text(encoding="utf-8"))
    broken = []
    for path, page in pages.items():
        for link in sorted(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchors = pages[target].anchors if target in pages else set()
            if not target.exists() or (parts.fragment and unquote(parts.fragment) not in anchors):
                broken.append(f"{path.relative_to(site)}: {link}")
    return broken


def main() -> int:
    """Build the site, and say what is wrong with it."""
    source, site = WORK / "source", WORK / "html"
    assemble(source)
    document_modules(source / "docs" / "reference" / "modules")
    words = [sys.executable, "-m", "sphinx", "--builder", "html", "--fail-on-warning", "--keep-going", "--quiet"]
    done = subprocess.run([*words, "--jobs", "2", "--doctree-dir", WORK / "doctrees", source, site], check=False)
    if done.returncode != 0:
        return done.returncode
    (site / "index.html").write_text(REDIRECT, encoding="utf-8")
    broken = find_broken_links(site)
    for line in broken:
        print(line)
    if broken:
        print(f"{len(broken)} links lead nowhere")
        return 1
    print(f"built {site / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
