"""How a database is named in the settings: our own, and those of the main databases that are polled."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

from pydantic import PlainSerializer, PlainValidator, ValidationInfo, WithJsonSchema
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from dpsync.settings.values import SECRET_SCHEMA, environment_of, located, resolve, wrong

_POSTGRESQL = re.compile(r"(?:postgres|postgresql|postgresql\+psycopg)://(?P<rest>\S+)")
_MYSQL = re.compile(r"(?:mysql|mariadb|mysql\+pymysql|mariadb\+pymysql)://(?P<rest>\S+)")
_PASSWORDS = frozenset({"password", "passwd"})
"""What a driver takes as a password in the query of a URL."""


class DatabaseUrl(str):
    """A SQLAlchemy URL that remembers how it was given, so that a password in it is never shown."""

    __slots__ = ("reference",)
    reference: str


def _named(engine_url: Callable[[str, Path], str]) -> PlainValidator:
    def read(raw: object, info: ValidationInfo) -> DatabaseUrl:
        here = environment_of(info)
        if isinstance(raw, str):
            if _has_password(raw):
                raise wrong('has a password in it: give the whole URL as { env = "NAME" } or { file = "path" }')
            url = DatabaseUrl(engine_url(raw, here.folder))
            url.reference = str(url)
            return url
        secret = resolve(raw, here)
        url = DatabaseUrl("" if secret._value is None else engine_url(secret.get_secret_value(), here.folder))  # noqa: SLF001  # because an unset secret is no error here
        url.reference = secret.reference
        return url

    return PlainValidator(read)


def _has_password(text: str) -> bool:
    parts = urlsplit(text)
    return ":" in parts.netloc.rpartition("@")[0] or any(name in _PASSWORDS for name, _ in parse_qsl(parts.query))


def _ours(text: str, folder: Path) -> str:
    if found := _POSTGRESQL.fullmatch(text):
        return _on_server(f"postgresql+psycopg://{found['rest']}", "postgresql")
    return _in_file(text, folder, "sqlite:/// or postgresql://")


def _theirs(text: str, folder: Path) -> str:
    if found := _MYSQL.fullmatch(text):
        return _on_server(f"mysql+pymysql://{found['rest']}", "mysql")
    if found := _POSTGRESQL.fullmatch(text):
        return _on_server(f"postgresql+psycopg://{found['rest']}", "postgresql")
    return _in_file(text, folder, "sqlite:///, postgresql:// or mysql://")


def _on_server(url: str, name: str) -> str:
    try:
        make_url(url)
    except (ArgumentError, ValueError):
        raise wrong(f"is not the address of a database: {name}://user:password@host:port/name") from None
    return url


def _in_file(text: str, folder: Path, begins: str) -> str:
    path, question, query = text.removeprefix("sqlite:///").partition("?")
    if not text.startswith("sqlite:///") or not path:
        raise wrong(f"must begin with {begins}")
    if path == ":memory:":
        raise wrong("must be a file: a database in memory is lost at the end")
    return f"sqlite:///{located(path, folder)}{question}{query}"


_SERIALIZED = PlainSerializer(lambda url: url.reference)
_SCHEMA = WithJsonSchema({"anyOf": [{"type": "string"}, SECRET_SCHEMA]})
Database = Annotated[str, _named(_ours), _SERIALIZED, _SCHEMA]
MainDatabase = Annotated[str, _named(_theirs), _SERIALIZED, _SCHEMA]
