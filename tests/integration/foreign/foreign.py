"""Migrations of other projects, taken from published packages when a test requires them.

Each case is a ready source directory, a virtualenv that its ``env.py`` can import, and what a person would have to
describe them to the role. Nothing of theirs is edited, and nothing is committed: all of it lies in the cache.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import fastapi_project

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
CACHE = HERE.parents[2] / ".cache" / "foreign"


@dataclass(frozen=True)
class ForeignCase:
    """One directory of another project, and all that the role needs to know about it."""

    name: str
    source: Path
    virtualenv: Path
    heads: frozenset[str]
    revisions: int
    target: str = "head"
    alembic_options: dict[str, str] = field(default_factory=dict)
    setup: str = ""
    url_variables: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    x_arguments: tuple[str, ...] = ()
    # Python that makes the tables the first revision expects; it finds an engine under that name.
    initial_tables: str = ""
    # Where that is run, if the packages of the release cannot make them.
    initial_virtualenv: Path | None = None
    # How many revisions can be taken back from the head on SQLite and on PostgreSQL; their authors' mistakes set it.
    steps_back: dict[str, int] = field(default_factory=dict)

    @property
    def packages(self) -> list[str]:
        """What the role installs when it builds the virtualenv itself, given ``pip_arguments``."""
        return _pins(self.name)

    @property
    def pip_arguments(self) -> list[str]:
        return ["--no-deps"]

    @property
    def python(self) -> Path:
        return self.virtualenv / "bin" / "python"

    def prepare(self, url: str) -> None:
        """Make the tables that the first revision expects to find."""
        if self.initial_tables:
            script = f"import sys, sqlalchemy\nengine = sqlalchemy.create_engine(sys.argv[1])\n{self.initial_tables}"
            _run((self.initial_virtualenv or self.virtualenv) / "bin" / "python", "-c", script, url)

    def variables(self, url: str, *, build: bool = False) -> dict[str, Any]:
        """The role's variables for one database; ``build`` leaves the virtualenv to the role."""
        database = {
            "name": self.name,
            "url": url,
            "target": self.target,
            "url_variables": list(self.url_variables),
            "environment": dict(self.environment),
            "x_arguments": list(self.x_arguments),
        }
        virtualenv: dict[str, Any] = {"migrate_virtualenv": str(self.virtualenv)}
        if build:
            virtualenv = {"migrate_packages": self.packages, "migrate_pip_arguments": self.pip_arguments}
        return {
            "migrate_source": str(self.source),
            "migrate_alembic_options": dict(self.alembic_options),
            "migrate_setup": self.setup,
            "migrate_databases": [database],
            **virtualenv,
        }


def all_cases(cache: Path = CACHE) -> list[ForeignCase]:
    return [mlflow_source(cache), keystone_source(cache), flask_source(cache), fastapi_source(cache)]


def fastapi_source(cache: Path = CACHE) -> ForeignCase:
    """A small FastAPI application whose ``env.py`` is Alembic's own for an asynchronous engine, with its settings.

    The settings are checked when they are imported, so every variable without a default has to be there.
    """
    virtualenv = _virtualenv(cache, "fastapi")
    source = cache / "fastapi" / "source"
    with _locked(cache, "fastapi"):
        if not source.exists():
            unfinished = source.with_name("unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            fastapi_project.write(unfinished, _run, virtualenv / "bin/alembic")
            unfinished.rename(source)
    return ForeignCase(
        name="fastapi",
        source=source,
        virtualenv=virtualenv,
        heads=frozenset({fastapi_project.REVISIONS[-1]}),
        revisions=len(fastapi_project.REVISIONS),
        url_variables=("DATABASE_URL",),
        environment={"SECRET_KEY": "not-used-by-migrations"},
        steps_back={"sqlite": 2, "postgresql": 2},
    )


def mlflow_source(cache: Path = CACHE) -> ForeignCase:
    """A script directory: 67 revisions on top of tables that mlflow's own models make.

    Its ``env.py`` reads ``sqlalchemy.url`` (or ``attributes["connection"]``) and leaves logging alone. Its
    ``alembic.ini`` beside it names a ``script_location`` that is right only in mlflow's own checkout. Everything runs
    in one transaction. The downgrades break off on both databases; see ``steps_back``.
    """
    virtualenv = _virtualenv(cache, "mlflow")
    source = _copy(cache, "mlflow", _site_packages(virtualenv) / "mlflow/store/db_migrations")
    return ForeignCase(
        name="mlflow",
        source=source,
        virtualenv=virtualenv,
        heads=frozenset({"dc11669786a5"}),
        revisions=67,
        initial_tables=(
            "from mlflow.store.tracking.dbmodels.initial_models import Base\nBase.metadata.create_all(engine)"
        ),
        steps_back={"sqlite": 19, "postgresql": 60},
    )


def keystone_source(cache: Path = CACHE) -> ForeignCase:
    """A project folder with ``alembic.ini`` and two branches, expand and contract, in directories per release.

    Its ``env.py`` calls ``fileConfig`` unless ``attributes["configure_logger"]`` is false, and importing the models
    fails before ``keystone.conf.configure()`` has run. No revision has a ``downgrade`` at all.
    """
    virtualenv = _virtualenv(cache, "keystone")
    source = _copy(cache, "keystone", _site_packages(virtualenv) / "keystone/common/sql", "alembic.ini", "migrations")
    versions = source / "migrations" / "versions"
    branches = sorted(path.relative_to(source) for path in versions.glob("*/*") if path.name in ("expand", "contract"))
    locations = [Path("migrations/versions"), *branches]
    return ForeignCase(
        name="keystone",
        source=source,
        virtualenv=virtualenv,
        heads=frozenset({"742c857f1dfb", "c88cdce8f248"}),
        revisions=10,
        target="heads",
        alembic_options={"version_locations": ":".join(f"%(here)s/{location}" for location in locations)},
        setup="keystone.conf:configure",
        steps_back={"sqlite": 0, "postgresql": 0},
    )


def privacyidea_source(cache: Path = CACHE) -> ForeignCase:
    """Flask-Migrate's directory of an application that an older release has installed: 42 revisions from 3.9 to 3.14.

    Its ``env.py`` runs in AUTOCOMMIT, and making the application writes the name of the host into the database. Its
    first 68 revisions do not run from an empty MariaDB by Flask-Migrate either: an installation makes the tables of
    its release, and stamps them.
    """
    virtualenv, installed = _virtualenv(cache, "privacyidea"), _virtualenv(cache, "privacyidea_installed")
    source = _copy(cache, "privacyidea", _site_packages(virtualenv) / "privacyidea", "migrations")
    settings = cache / "privacyidea" / "pi.cfg"
    key = settings.with_name("enckey")
    with _locked(cache, "privacyidea"):
        key.write_bytes(bytes(range(96)))
        settings.write_text(PRIVACYIDEA_SETTINGS.format(key=key))
    return ForeignCase(
        name="privacyidea",
        source=source,
        virtualenv=virtualenv,
        heads=frozenset({"b7c1e4d2a9f3"}),
        revisions=42,
        alembic_options={"script_location": "migrations"},
        setup="privacyidea.app:create_app",
        url_variables=("DATABASE_URL",),
        environment={"PRIVACYIDEA_CONFIGFILE": str(settings)},
        initial_tables=PRIVACYIDEA_TABLES,
        initial_virtualenv=installed,
    )


PRIVACYIDEA_SETTINGS = """\
import os

SQLALCHEMY_DATABASE_URI = os.environ["DATABASE_URL"]
SECRET_KEY = PI_PEPPER = "not a secret"
PI_ENCFILE = "{key}"
PI_AUDIT_NO_SIGN = True
"""
PRIVACYIDEA_TABLES = """\
from privacyidea.models import db
db.metadata.create_all(engine)
with engine.begin() as connection:
    connection.exec_driver_sql("create table alembic_version (version_num varchar(32) not null primary key)")
    connection.exec_driver_sql("insert into alembic_version values ('5cb310101a1f')")
"""


def flask_source(cache: Path = CACHE) -> ForeignCase:
    """A small application whose ``migrations/`` Flask-Migrate made, unedited.

    Its ``env.py`` takes the engine from ``current_app``, so it has to run inside the application's context, and calls
    ``fileConfig(config.config_file_name)`` unconditionally. The ``alembic.ini`` lies in ``migrations/`` and has no
    ``script_location``: Flask-Migrate sets that when it runs. The URL comes from the application's own setting.
    """
    virtualenv = _virtualenv(cache, "flask")
    source = cache / "flask" / "source"
    with _locked(cache, "flask"):
        if not source.exists():
            unfinished = source.with_name("unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            _write_flask_project(virtualenv, unfinished)
            unfinished.rename(source)
    return ForeignCase(
        name="flask",
        source=source,
        virtualenv=virtualenv,
        heads=frozenset({FLASK_REVISIONS[-1]}),
        revisions=len(FLASK_REVISIONS),
        alembic_options={"script_location": "migrations"},
        setup="shop:create_app",
        url_variables=("DATABASE_URL",),
        steps_back={"sqlite": len(FLASK_REVISIONS), "postgresql": len(FLASK_REVISIONS)},
    )


FLASK_REVISIONS = ("5d0a41c7be92", "8f37e2ab6c15")
FLASK_APP = """\
import os

from flask import Flask
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy

db = SQLAlchemy()
migrate = Migrate()


class Product(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    name = db.Column(db.String(80), nullable=False)


def create_app():
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["DATABASE_URL"]
    db.init_app(app)
    migrate.init_app(app, db)
    return app
"""
FLASK_COLUMN = "    name = db.Column(db.String(80), nullable=False)\n"
FLASK_NEW_COLUMN = "    price = db.Column(db.Integer)\n"


def _write_flask_project(virtualenv: Path, project: Path) -> None:
    """Do as its developer did: write the model, let Flask-Migrate write the revision, change the model, again."""
    first, second = FLASK_REVISIONS
    project.mkdir(parents=True)
    scratch = project.with_name("scratch.db")
    scratch.unlink(missing_ok=True)
    app = project / "shop.py"

    def flask_db(*arguments: str) -> None:
        # No bytecode: the model changes within the second that a compiled file's timestamp can distinguish.
        environment = {"DATABASE_URL": f"sqlite:///{scratch}", "PYTHONDONTWRITEBYTECODE": "1"}
        _run(virtualenv / "bin/flask", "--app", "shop:create_app", "db", *arguments, cwd=project, env=environment)

    app.write_text(FLASK_APP)
    flask_db("init")
    flask_db("migrate", "-m", "products", "--rev-id", first)
    flask_db("upgrade")
    app.write_text(FLASK_APP.replace(FLASK_COLUMN, FLASK_COLUMN + FLASK_NEW_COLUMN))
    flask_db("migrate", "-m", "prices", "--rev-id", second)
    scratch.unlink()


def _virtualenv(cache: Path, name: str) -> Path:
    """A virtualenv with the pinned packages, built once; the mark is written last, so half of one is never used."""
    virtualenv = cache / name / "virtualenv"
    mark = virtualenv / "complete"
    pins = "\n".join([sys.version, *_pins(name)])
    with _locked(cache, name):
        if not mark.exists() or mark.read_text() != pins:
            shutil.rmtree(cache / name, ignore_errors=True)
            _run(sys.executable, "-m", "venv", virtualenv)
            install = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile", "--no-deps")
            _run(virtualenv / "bin/python", *install, "-r", HERE / f"{name}.txt")
            mark.write_text(pins)
    return virtualenv


def _copy(cache: Path, name: str, package: Path, *members: str) -> Path:
    """The files as they were published, without what Python left beside them."""
    source = cache / name / "source"
    with _locked(cache, name):
        if not source.exists():
            unfinished = source.with_name("unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            ignore = shutil.ignore_patterns("__pycache__")
            for member in members or ("",):
                origin = package / member
                if origin.is_dir():
                    shutil.copytree(origin, unfinished / member, ignore=ignore)
                else:
                    unfinished.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(origin, unfinished / member)
            unfinished.rename(source)
    return source


def _pins(name: str) -> list[str]:
    lines = (HERE / f"{name}.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def _site_packages(virtualenv: Path) -> Path:
    return next(virtualenv.glob("lib/python3*/site-packages"))


@contextmanager
def _locked(cache: Path, name: str) -> Iterator[None]:
    """Tests in several processes may need the same case."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(
    program: str | Path, *arguments: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None
) -> None:
    command = [str(program), *map(str, arguments)]
    environment = {**os.environ, **(env or {})}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:4])} … ended with {done.returncode}:\n{done.stdout}{done.stderr}")
