"""An application with two databases, whose ``migrations/`` Flask-Migrate made by its template for several."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

REVISION = "71c0ffee5a1e"
_APP = """\
import os

from flask import Flask
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy

db = SQLAlchemy()
migrate = Migrate()


class Product(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    name = db.Column(db.String(80), nullable=False)


class Item(db.Model):
    __bind_key__ = "stock"
    id = db.Column(db.Integer, primary_key=True)
    place = db.Column(db.String(80), nullable=False)


def create_app():
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["DATABASE_URL"]
    app.config["SQLALCHEMY_BINDS"] = {"stock": os.environ["STOCK_URL"]}
    db.init_app(app)
    migrate.init_app(app, db)
    return app
"""


def flask_db(virtualenv: Path, project: Path, databases: tuple[Path, Path], *arguments: str) -> None:
    """Run Flask-Migrate's own program on two SQLite files."""
    urls = {name: f"sqlite:///{path}" for name, path in zip(("DATABASE_URL", "STOCK_URL"), databases)}
    command = [str(virtualenv / "bin/flask"), "--app", "shop:create_app", "db", *arguments]
    environment = {**os.environ, **urls, "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run(command, cwd=project, env=environment, check=True, capture_output=True, text=True)


def write(virtualenv: Path, project: Path) -> None:
    """Do as its developer did: write the models, and let Flask-Migrate write the revision."""
    project.mkdir()
    (project / "shop.py").write_text(_APP)
    scratch = project.with_name("scratch.db"), project.with_name("scratch of stock.db")
    flask_db(virtualenv, project, scratch, "init", "--multidb")
    flask_db(virtualenv, project, scratch, "migrate", "-m", "both", "--rev-id", REVISION)
