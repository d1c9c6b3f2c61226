"""Run tests on PostgreSQL 13 to 18, with the client programs of each: python -m tests.postgresql_versions --help."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from .lab import PROJECT
from .lab.postgres import BIN, newest_bin
from .lab.postgresql_versions import VERSIONS, programs
from .lab.shell import CommandFailed

_CACHE = PROJECT / ".hosting-alembic" / "cache" / "postgresql"
#: What depends on a version, and what each verb does; the rest runs on one version only.
_NAMES = (
    "restore_corpus", "restore_postgresql", "revert_postgresql", "revert_sequences",
    "rehearsal", "locks", "verbs", "schemas", "recover", "prune", "health",
)  # fmt: skip
_CORPUS = ("tests/integration/test_restore_corpus.py",)
_INTEGRATION = ("-m", "not exhaustive", "-k", "not sqlite", *(f"tests/integration/test_{name}.py" for name in _NAMES))
#: Every verb by each method, and what differs between versions, with all of its kinds.
_ALL_KINDS = tuple(
    f"tests/integration/test_{name}.py"
    for name in ("verbs_postgresql", "locale_providers", "role_memberships", "server_upgraded")
)
_UNIT = ("-k", "postgres", "tests/unit")
_FAULTS = ("-m", "daily", "-k", "postgresql", "tests/faults")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.postgresql_versions", description=__doc__)
    parser.add_argument("--corpus", action="store_true", help="only the corpus of object definitions")
    words = f"of {', '.join(map(str, VERSIONS))}; all of them, if none is named"
    parser.add_argument("versions", nargs="*", type=_version, metavar="VERSION", help=words)
    return parser.parse_args()


def _version(text: str) -> int:
    if text not in map(str, VERSIONS):
        raise argparse.ArgumentTypeError(f"{text} is not one of {', '.join(map(str, VERSIONS))}")
    return int(text)


def _passes(version: int, runs: list[tuple[str, ...]]) -> bool:
    try:
        folder = programs(version, _CACHE, newest_bin())
    except CommandFailed as error:
        print(f"PostgreSQL {version} cannot be fetched: {error}")
        return False
    environment = {**os.environ, BIN: str(folder), "PATH": f"{folder}:{os.environ['PATH']}"}
    command = [sys.executable, "-m", "pytest", "--numprocesses", "2", "--dist", "worksteal"]
    print(f"\nPostgreSQL {version}", flush=True)
    ended = [subprocess.run([*command, *words], env=environment, check=False).returncode for words in runs]
    return not any(ended)


def main() -> int:
    """Run them on each version, and fail if some have failed on one."""
    arguments = _arguments()
    runs: list[tuple[str, ...]] = [_CORPUS] if arguments.corpus else [_UNIT, _INTEGRATION, _ALL_KINDS, _FAULTS]
    failed = [version for version in arguments.versions or VERSIONS if not _passes(version, runs)]
    if failed:
        print(f"\nfailed on PostgreSQL {', '.join(map(str, failed))}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
