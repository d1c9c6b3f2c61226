"""Writes the table of the role's variables into README.md, from roles/migrate: python docs/variables.py [--check]."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).resolve().parents[1]
README = PROJECT / "README.md"
ROLE = PROJECT / "roles" / "migrate"
BEGIN = "<!-- variables: written by docs/variables.py -->"
END = "<!-- end of variables -->"

# C(code), V(value), O(option); a closing bracket inside may be escaped.
_MARKUP = re.compile(r"\b[CVO]\(((?:\\.|\([^()]*\)|[^()\\])*)\)")


def specified() -> dict[str, dict[str, Any]]:
    """Return the options of all entry points together: a variable means one thing wherever it is read."""
    specs = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"]
    return {name: option for spec in specs.values() for name, option in spec["options"].items()}


def table() -> str:
    """Return the tables: what is required, what one database says, and the rest in the order of the defaults."""
    options = specified()
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text(encoding="utf-8"))
    required = {name: option for name, option in options.items() if name not in defaults}
    database = options["migrate_databases"]["options"]
    parts = [
        "Required:\n",
        _rows(required, with_defaults=False),
        "\nA database, one entry of `migrate_databases`; `name` and `url` are required:\n",
        _rows(database, with_defaults=False),
        "\nThe others have defaults:\n",
        _rows({name: {**options[name], "default": default} for name, default in defaults.items()}, with_defaults=True),
    ]
    return "\n".join(parts)


def _rows(options: dict[str, dict[str, Any]], *, with_defaults: bool) -> str:
    lines = ["| variable | default | meaning |", "| --- | --- | --- |"]
    if not with_defaults:
        lines = ["| variable | type | meaning |", "| --- | --- | --- |"]
    for name, option in options.items():
        second = f"`{_written(option['default'])}`" if with_defaults else _type(option)
        lines.append(f"| `{name}` | {second} | {_meaning(option)} |")
    return "\n".join(lines)


def _type(option: dict[str, Any]) -> str:
    names = {"str": "text", "dict": "mapping"}
    return str(names.get(option["type"], option["type"]))


def _written(value: object) -> str:
    return json.dumps(value) if value == "" or not isinstance(value, str) else value


def _meaning(option: dict[str, Any]) -> str:
    """Return a description with Ansible's markup as Markdown's."""
    text = " ".join(str(option["description"]).split())
    return _MARKUP.sub(lambda found: "`" + found[1].replace("\\)", ")") + "`", text).replace("|", "\\|")


def written(readme: str) -> str:
    """Return a README with its table made anew."""
    before, rest = readme.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def main() -> int:
    """Write the table, or say that it is stale."""
    readme = README.read_text(encoding="utf-8")
    new = written(readme)
    if "--check" in sys.argv[1:]:
        if new != readme:
            print("README.md does not show the role's variables as they are: run python docs/variables.py")
        return int(new != readme)
    README.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
