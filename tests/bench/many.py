"""A hundred databases on one host, beside loops in a shell of `alembic upgrade head` and of `dbmate up`.

The floor is Alembic alone in forked processes and, where there is a server, a dump of each database by its own program,
two at a time both: what has to be done at least to upgrade all with a backup of each.
"""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from ..lab import CACHE
from ..lab.mariadb import MariaDBServer, program
from ..lab.postgres import PostgresServer
from .histories import alembic_project, dbmate_folder
from .measure import BIN, Contender, Played, Ratio, must, playbook, take_turns

DATABASES = 100
REVISIONS = 20
#: A loop takes as long for each database: it is timed over a slice of its own, and scaled up.
SLICE = 10

ALEMBIC_LOOP = 'for url in "$@"; do DATABASE_URL="$url" alembic --config "$BENCH_CONFIG" upgrade head || exit 1; done'
DBMATE_LOOP = (
    'for url in "$@"; do "$BENCH_DBMATE" --url "$url" --migrations-dir "$BENCH_FOLDER" --no-dump-schema up'
    " >/dev/null || exit 1; done"
)


class Place(ABC):
    """Where the databases of one engine are made."""

    name: str
    #: What an upgrade may take beside the floor.
    most: float | None = None
    #: What the safety steps of one database may take more than bare Alembic, in seconds.
    most_more: float = 0.5

    @abstractmethod
    def make(self, names: list[str]) -> list[str]:
        """Make empty databases and return their URLs as SQLAlchemy and Alembic read them."""

    @abstractmethod
    def remove(self, names: list[str]) -> None:
        """Remove them."""

    def for_dbmate(self, url: str) -> str:
        """Return the same URL as dbmate reads it."""
        return url

    @abstractmethod
    def dump(self, names: list[str], folder: Path) -> None:
        """Dump each the plain way, two at a time."""


def _two_at_a_time(script: str, names: list[str], env: dict[str, str]) -> None:
    """Run a script in a shell for each name."""
    must(["sh", "-c", 'printf "%s\\0" "$@" | xargs -0 -n 1 -P 2 sh -ec "$BENCH_EACH" each', "all", *names],
         {"BENCH_EACH": script, **env})  # fmt: skip


class Files(Place):
    """SQLite: a folder of files."""

    name = "SQLite"
    most = 1.4

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()

    def make(self, names: list[str]) -> list[str]:
        """Name files; each contender makes them itself."""
        return [f"sqlite:///{self._folder / name}.db" for name in names]

    def remove(self, names: list[str]) -> None:
        """Remove the files."""
        for name in names:
            (self._folder / f"{name}.db").unlink()

    def for_dbmate(self, url: str) -> str:
        """Return a URL with one slash less."""
        return url.replace("sqlite:///", "sqlite:")

    def dump(self, names: list[str], folder: Path) -> None:
        """Do nothing: a file is copied in no time that counts."""


class Server(Place):
    """PostgreSQL: a server of our own, with fsync as it is by default."""

    name = "PostgreSQL"
    most = 1.5

    def __init__(self, server: PostgresServer) -> None:
        self._server = server

    def make(self, names: list[str]) -> list[str]:
        """Create the databases in one session."""
        self._server.execute("".join(f'CREATE DATABASE "{name}";\n' for name in names))
        return [self._server.url(name, driver="psycopg2") for name in names]

    def remove(self, names: list[str]) -> None:
        """Drop the databases in one session."""
        self._server.execute("".join(f'DROP DATABASE "{name}" WITH (FORCE);\n' for name in names))

    def for_dbmate(self, url: str) -> str:
        """Return a URL that requires no encryption, which the server does not have."""
        return f"{url.replace('+psycopg2', '')}?sslmode=disable"

    def dump(self, names: list[str], folder: Path) -> None:
        """Call pg_dump with the options that we call it with."""
        server = self._server
        script = '"$BENCH_PROGRAM" --format=directory --compress=6 --file="$BENCH_FOLDER/$1" --dbname="$1"'
        _two_at_a_time(script, names, {
            "BENCH_PROGRAM": str(server.bin / "pg_dump"), "BENCH_FOLDER": str(folder), "PGPASSWORD": server.password,
            "PGHOST": server.host, "PGPORT": str(server.port), "PGUSER": server.user,
        })  # fmt: skip


class MariaDB(Place):
    """MariaDB: a server of our own, with durable commits as they are by default."""

    name = "MariaDB"
    most_more = 1.0

    def __init__(self, server: MariaDBServer) -> None:
        self._server = server

    def make(self, names: list[str]) -> list[str]:
        """Create the databases in one session."""
        self._server.execute("".join(f"CREATE DATABASE `{name}`;\n" for name in names))
        return [self._server.url(name) for name in names]

    def remove(self, names: list[str]) -> None:
        """Drop the databases in one session."""
        self._server.execute("".join(f"DROP DATABASE `{name}`;\n" for name in names))

    def for_dbmate(self, url: str) -> str:
        """Return a URL without a driver of Python."""
        return url.replace("+pymysql", "")

    def dump(self, names: list[str], folder: Path) -> None:
        """Call mariadb-dump with the options that we call it with."""
        server = self._server
        options = "--single-transaction --routines --triggers --events --hex-blob"
        options += f" --socket={server.socket} --user={server.user}"
        script = f'"$BENCH_PROGRAM" --no-defaults {options} "$1" | gzip -6 >"$BENCH_FOLDER/$1"'
        _two_at_a_time(script, names, {
            "BENCH_PROGRAM": program("mariadb-dump"), "BENCH_FOLDER": str(folder), "MYSQL_PWD": server.password,
        })  # fmt: skip


@contextmanager
def files(folder: Path) -> Iterator[Place]:
    """Let SQLite have a folder."""
    yield Files(folder / "sqlite")


@contextmanager
def server(_folder: Path) -> Iterator[Place]:
    """Start a PostgreSQL server, and remove it whatever happens."""
    with PostgresServer() as running:
        yield Server(running)


@contextmanager
def mariadb(_folder: Path) -> Iterator[Place]:
    """Start a MariaDB server, and remove it whatever happens."""
    with MariaDBServer() as running:
        yield MariaDB(running)


def dbmate() -> Path:
    """Return the program itself: npm's wrapper around it would add a start of Node.js to each call."""
    home = CACHE / "dbmate"
    pattern = "node_modules/@dbmate/*/bin/dbmate"
    if not list(home.glob(pattern)):
        home.mkdir(parents=True, exist_ok=True)
        must(["npm", "install", "--no-audit", "--no-fund", "--prefix", home, "dbmate"])
    return next(home.glob(pattern))


class Many:
    """One engine's databases and all contenders for them."""

    def __init__(self, folder: Path, place: Place) -> None:
        self._place = place
        self._folder = folder / f"many-{place.name.lower()}"
        self._folder.mkdir()
        self._project = alembic_project(self._folder / "project", REVISIONS)
        self._sql = dbmate_folder(self._folder / "sql", REVISIONS)
        self._dbmate = dbmate()
        self._urls: dict[str, list[str]] = {}

    def _prepare(self, kind: str, turn: int, count: int) -> None:
        """Make new databases for a contender and remove those of its last turn."""
        if turn:
            self._place.remove(self._names(kind, turn - 1, count))
        self._urls[kind] = self._place.make(self._names(kind, turn, count))
        if kind == "ours":
            self._write_inventory()

    @staticmethod
    def _names(kind: str, turn: int, count: int) -> list[str]:
        return [f"{kind}_{turn}_{number:03}" for number in range(count)]

    def _write_inventory(self) -> None:
        databases = [{"name": f"customer{number:03}", "url": url} for number, url in enumerate(self._urls["ours"])]
        variables = {
            "ansible_connection": "local",
            "ansible_python_interpreter": str(BIN / "python"),
            "migrate_root": str(self._folder / "root"),
            "migrate_manifests": str(self._folder / "manifests"),
            "migrate_source": str(self._project),
            "migrate_virtualenv": str(BIN.parent),
            "migrate_databases": databases,
        }
        (self._folder / "inventory.yml").write_text(yaml.safe_dump({"all": {"hosts": {"localhost": variables}}}))

    def _play(self, name: str) -> Played:
        return playbook(name, self._folder / "inventory.yml")

    def _upgrade(self, _turn: int) -> float:
        played = self._play("migrate.yml")
        if "changed=1" not in played.output:
            raise RuntimeError(f"nothing was upgraded:\n{played.output}")
        return played.seconds("Upgrade each database")

    def _plan(self, _turn: int) -> float:
        played = self._play("playbooks/plan.yml")
        if f"{DATABASES} databases: {DATABASES} at head" not in played.output:
            raise RuntimeError(f"the databases were meant to be at head:\n{played.output}")
        return played.seconds("Plan every database")

    def _loop_alembic(self, _turn: int) -> None:
        env = {"BENCH_CONFIG": str(self._project / "alembic.ini"), "PATH": f"{BIN}:/usr/bin:/bin"}
        must(["sh", "-c", ALEMBIC_LOOP, "loop", *self._urls["alembic"]], env)

    def _bare(self, _turn: int, kind: str = "bare") -> None:
        must([BIN / "python", Path(__file__).parent / "bare.py", self._project / "alembic.ini", *self._urls[kind]])

    def _floor(self, turn: int) -> None:
        self._bare(turn, "floor")
        folder = self._folder / "dumps"
        folder.mkdir()
        self._place.dump(self._names("floor", turn, DATABASES), folder)
        shutil.rmtree(folder)

    def _loop_dbmate(self, _turn: int) -> None:
        env = {"BENCH_DBMATE": str(self._dbmate), "BENCH_FOLDER": str(self._sql)}
        urls = [self._place.for_dbmate(url) for url in self._urls["dbmate"]]
        must(["sh", "-c", DBMATE_LOOP, "loop", *urls], env)

    def measure(self, turns: int) -> list[Ratio]:
        """Measure databases that are behind, then the same ones at head."""
        self._write_first_inventory()
        part = SLICE / DATABASES
        behind = [
            Contender("upgrade", self._upgrade, lambda turn: self._prepare("ours", turn, DATABASES)),
            Contender(
                "alembic in a loop, behind",
                self._loop_alembic,
                lambda turn: self._prepare("alembic", turn, SLICE),
                part,
            ),
            Contender(
                "dbmate in a loop, behind", self._loop_dbmate, lambda turn: self._prepare("dbmate", turn, SLICE), part
            ),
            Contender("bare", self._bare, lambda turn: self._prepare("bare", turn, DATABASES)),
            Contender("bare and dumps", self._floor, lambda turn: self._prepare("floor", turn, DATABASES)),
        ]
        take_turns(behind, turns)
        at_head = [
            Contender("plan", self._plan),
            Contender("alembic in a loop, at head", self._loop_alembic, share=part),
            Contender("dbmate in a loop, at head", self._loop_dbmate, share=part),
        ]
        take_turns(at_head, turns)
        shutil.rmtree(self._folder / "root")
        what = f"{DATABASES} {self._place.name} databases on one host"
        return [
            Ratio(f"{what}, {REVISIONS} revisions behind, beside a loop of alembic", behind[0], behind[1]),
            Ratio(f"{what}, {REVISIONS} revisions behind, beside a loop of dbmate", behind[0], behind[2]),
            Ratio("the same by Alembic alone in forked processes, beside its loop", behind[3], behind[1]),
            Ratio("the same, ours beside Alembic so and dumps: the floor", behind[0], behind[4], self._place.most),
            Ratio(f"{what}, at head, beside a loop of alembic", at_head[0], at_head[1], 1 / 40),
            Ratio(f"{what}, at head, beside a loop of dbmate", at_head[0], at_head[2]),
        ]

    def _write_first_inventory(self) -> None:
        """Ship ahead, as one would before a window."""
        self._urls["ours"] = self._place.make(self._names("first", 0, 1))
        self._write_inventory()
        self._play("playbooks/ship.yml")
        if self._place.name != "SQLite":  # the file is made by an upgrade
            self._place.remove(self._names("first", 0, 1))
