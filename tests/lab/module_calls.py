"""Which modules a playbook calls on the hosts of this machine, and a call that raises."""

from __future__ import annotations

from pathlib import Path

_HOOK = """
import os, runpy

_run_module = runpy.run_module


def run_module(mod_name, *args, **kwargs):
    folder, _, module = mod_name.rpartition(".")
    if folder.endswith("hosting.alembic.plugins.modules") and "CALLS" in os.environ:
        with open(os.environ["CALLS"], "a+") as calls:
            calls.write(module + "\\n")
            calls.seek(0)
            number = calls.read().split().count(module)
        wanted, first, last = os.environ.get("RAISES", "-:0:0").split(":")
        if module == wanted and int(first) <= number <= int(last):
            open(os.environ["RAISED"], "w").close()
            raise BlockingIOError(11, "Resource temporarily unavailable")
    return _run_module(mod_name, *args, **kwargs)


runpy.run_module = run_module
"""


def recorded(folder: Path) -> dict[str, str]:
    """Return the environment in which the calls of modules are written into `CALLS` below a folder.

    Where it has `RAISES` as well, `module:first:last`, these calls of the module raise, and make the file `RAISED`.
    """
    hook = folder / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(_HOOK)
    return {"PYTHONPATH": str(hook), "CALLS": str(folder / "calls"), "RAISED": str(folder / "raised")}
