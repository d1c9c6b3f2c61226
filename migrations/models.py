"""The tables as the newest revision leaves them, and ways to reach them."""

from typing import Any, Optional

from sqlalchemy import Engine, MetaData, String, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

# Every constraint gets a name that all databases agree on: without one, a downgrade cannot drop it.
NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class User(Base):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    email: Mapped[str] = mapped_column(String(100), unique=True)
    # Optional, since SQLAlchemy evaluates annotations, and Python 3.9 cannot evaluate "str | None".
    email_domain: Mapped[Optional[str]] = mapped_column(String(100), index=True)


def make_engine(url: str, **options: Any) -> Engine:
    return create_engine(url, **options)


def make_session_factory(url: str) -> sessionmaker[Session]:
    return sessionmaker(make_engine(url))
