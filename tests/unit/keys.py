"""Keys of a person who can open backups, made anew for the tests: no host ever sees the private half."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Person:
    """A person with a private key, and what a host is given of them."""

    tool: str
    #: What migrate_backup_encrypt_to is set to.
    to: str
    folder: Path

    def open(self, archive: Path, into: Path) -> None:
        """Decrypt an archive and unpack it."""
        into.mkdir(parents=True, exist_ok=True)
        if self.tool == "age":
            command = ["age", "--decrypt", "--identity", str(self.folder / "key"), str(archive)]
        else:
            command = ["gpg", "--homedir", str(self.folder / "home"), "--batch", "--quiet", "--decrypt", str(archive)]
        plain = subprocess.run(command, check=True, capture_output=True).stdout
        subprocess.run(["tar", "--extract", "--directory", str(into)], input=plain, check=True)


def age_person(folder: Path, *, in_a_file: bool = False) -> Person:
    """Make a key of age; the host gets the recipient itself or a file with it."""
    folder.mkdir()
    subprocess.run(["age-keygen", "--output", str(folder / "key")], check=True, capture_output=True)
    public = subprocess.run(["age-keygen", "-y", str(folder / "key")], check=True, capture_output=True, text=True)
    recipient = public.stdout.strip()
    (folder / "recipients").write_text(f"# the one on call\n{recipient}\n")
    return Person("age", str(folder / "recipients") if in_a_file else recipient, folder)


def gpg_person(folder: Path, *, armoured: bool = True) -> Person:
    """Make a key of GnuPG in a home of its own; the host gets the public half as a file."""
    home = folder / "home"
    home.mkdir(parents=True, mode=0o700)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""]
    make = [*gpg, "--quick-generate-key", "on call <oncall@example.net>", "future-default", "default", "never"]
    subprocess.run(make, check=True, capture_output=True)
    public = subprocess.run([*gpg, *(["--armor"] if armoured else []), "--export"], check=True, capture_output=True)
    (folder / "public").write_bytes(public.stdout)
    return Person("gpg", str(folder / "public"), folder)


def end_agent(person: Person) -> None:
    """End the agent that GnuPG has started for a home."""
    if person.tool == "gpg" and shutil.which("gpgconf"):
        subprocess.run(["gpgconf", "--homedir", str(person.folder / "home"), "--kill", "all"], check=False)
