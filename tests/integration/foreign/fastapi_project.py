"""A FastAPI application with an asynchronous engine, its Alembic environment made by ``alembic init -t async``.

The lines that its developer adds to the template's ``env.py`` are those of docs/how_to/flask_and_fastapi.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from tests.lab import PROJECT

PAGE = PROJECT / "docs" / "how_to" / "flask_and_fastapi.md"
REVISIONS = ("a1f0c3d2e4b5", "b2e1d4c3f5a6")

SETTINGS = """from pydantic_settings import BaseSettings


class Settings(BaseSettings):
    database_url: str
    secret_key: str

    @property
    def asynchronous_url(self) -> str:
        url = self.database_url.replace("postgresql://", "postgresql+asyncpg://")
        return url.replace("sqlite://", "sqlite+aiosqlite://")


settings = Settings()
"""
MODELS = """from sqlalchemy import String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Product(Base):
    __tablename__ = "product"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50), unique=True)
"""
COLUMN = "    price: Mapped[int | None]\n"
MAIN = """from fastapi import FastAPI
from sqlalchemy import select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from app.models import Product
from app.settings import settings

app = FastAPI()
session = async_sessionmaker(create_async_engine(settings.asynchronous_url))


@app.post("/products/{name}")
async def add(name: str, price: int) -> None:
    async with session.begin() as current:
        current.add(Product(name=name, price=price))


@app.get("/products")
async def products() -> dict[str, int | None]:
    async with session() as current:
        return {each.name: each.price for each in await current.scalars(select(Product))}
"""


def env_py_of_the_page() -> str:
    """Return what the page has an ``env.py`` import and set."""
    blocks: list[str] = re.findall(r"(?ms)^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"))
    return next(block for block in blocks if "target_metadata" in block)


def write(project: Path, run: Callable[..., None], alembic: Path) -> None:
    """Do as its developer did: write the models, let Alembic write the revision, change the model, again."""
    scratch = project.with_name("scratch.db")
    scratch.unlink(missing_ok=True)
    environment = {"DATABASE_URL": f"sqlite:///{scratch}", "SECRET_KEY": "x", "PYTHONDONTWRITEBYTECODE": "1"}
    (project / "app").mkdir(parents=True)
    for name, text in (("__init__", ""), ("settings", SETTINGS), ("models", MODELS), ("main", MAIN)):
        (project / "app" / f"{name}.py").write_text(text)
    run(alembic, "init", "-t", "async", "alembic", cwd=project)
    env_py = project / "alembic" / "env.py"
    template = env_py.read_text()
    assert "target_metadata = None\n" in template
    env_py.write_text(template.replace("target_metadata = None\n", env_py_of_the_page()))
    for revision, message, model in (
        (REVISIONS[0], "products", MODELS),
        (REVISIONS[1], "prices", MODELS + COLUMN),
    ):
        (project / "app" / "models.py").write_text(model)
        command = ("revision", "--autogenerate", "-m", message, "--rev-id", revision)
        run(alembic, *command, cwd=project, env=environment)
        run(alembic, "upgrade", "head", cwd=project, env=environment)
    scratch.unlink()
