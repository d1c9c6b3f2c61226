"""Writes docs/reference/variables.md from roles/migrate and docs/variables.yml: python docs/variables.py [--check]."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).resolve().parents[1]
PAGE = PROJECT / "docs" / "reference" / "variables.md"
GROUPS = PROJECT / "docs" / "variables.yml"
ROLE = PROJECT / "roles" / "migrate"

HEAD = """\
# Variables

Written by `docs/variables.py` from `roles/migrate/meta/argument_specs.yml`: change that file, not this page. All
variables begin with `migrate_`; what begins with `__migrate_` is internal and changes without notice. A variable means
the same in every playbook. A wrong type, and a name that is nearly one of these, is reported before any host is
touched.

`ansible-doc -t role hosting.alembic.migrate --entry-point main` prints them; without `--entry-point`, also what each of
the other entry points does.
"""

TYPES = {"str": "text", "dict": "mapping", "int": "number", "float": "number", "bool": "true or false", "raw": "any"}

# C(code), V(value), O(option); a closing bracket inside may be escaped.
_MARKUP = re.compile(r"\b[CVO]\(((?:\\.|\([^()]*\)|[^()\\])*)\)")


def read_role() -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """Return the entry points, and the options, which ``main`` has for all of them."""
    specs = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"]
    return specs, specs["main"]["options"]


def render_page() -> str:
    """Return the page: each group with its variables, their own keys and an example, then the entry points."""
    specs, options = read_role()
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text(encoding="utf-8"))
    parts = [HEAD]
    for group in yaml.safe_load(GROUPS.read_text(encoding="utf-8")):
        names = list(yaml.safe_load(group["example"]))
        parts.append(f"## {group['title']}\n")
        if "text" in group:
            parts.append(group["text"] + "\n")
        parts.append(_rows({name: options[name] for name in names}, defaults) + "\n")
        entries = [name for name in names if "options" in options[name]]
        parts += [f"An entry of `{name}`:\n\n{_rows(options[name]['options'], {})}\n" for name in entries]
        parts.append(f"```yaml\n{group['example']}```\n")
    parts.append(_entry_points(specs))
    return "\n".join(parts)


def _entry_points(specs: dict[str, dict[str, Any]]) -> str:
    rows = ["## Entry points of the role\n", "For `tasks_from` of a play of your own; the playbooks use the same.\n"]
    rows += ["| entry point | what it does |", "| --- | --- |"]
    rows += [f"| `{name}` | {_format(' '.join(_does(specs[name])))} |" for name in sorted(specs)]
    return "\n".join(rows) + "\n"


def _does(spec: dict[str, Any]) -> list[str]:
    """Return what an entry point does, without where its variables are described: on this page."""
    return [line for line in spec["description"] if "the variables of" not in line and "Its variables" not in line]


def _rows(options: dict[str, dict[str, Any]], defaults: dict[str, Any]) -> str:
    lines = ["| variable | type | default | meaning |", "| --- | --- | --- | --- |"]
    for name, option in options.items():
        default = "required" if option.get("required") else ""
        if name in defaults:
            default = f"`{_plain(defaults[name])}`"
        lines.append(f"| `{name}` | {_type(option)} | {default} | {_meaning(option)} |")
    return "\n".join(lines)


def _type(option: dict[str, Any]) -> str:
    if "choices" in option and option["type"] != "list":
        return ", ".join(f"`{choice}`" for choice in option["choices"])
    names = {
        "str": "text",
        "dict": "mapping",
        "int": "number",
        "float": "number",
        "bool": "true or false",
        "raw": "any",
    }
    kind = str(names.get(option["type"], option["type"]))
    if kind != "list" or "elements" not in option:
        return kind
    choices = [f"`{choice}`" for choice in option.get("choices", [])]
    return f"list of {', '.join(choices) or TYPES.get(option['elements'], option['elements'])}"


def _plain(value: object) -> str:
    return json.dumps(value) if value == "" or not isinstance(value, str) else value


def _meaning(option: dict[str, Any]) -> str:
    """Return a description, which may be a list of paragraphs, as one line of Markdown."""
    text = option["description"]
    return _format(" ".join(text) if isinstance(text, list) else str(text))


def _format(text: str) -> str:
    """Return a text with Ansible's markup as Markdown's."""
    found = _MARKUP.sub(lambda found: "`" + found[1].replace("\\)", ")") + "`", " ".join(text.split()))
    return found.replace("|", "\\|")


def main() -> int:
    """Write the page, or say that it is stale."""
    new = render_page()
    if "--check" in sys.argv[1:]:
        is_stale = not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != new
        if is_stale:
            print("docs/reference/variables.md does not show the variables of the role: run python docs/variables.py")
        return int(is_stale)
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
