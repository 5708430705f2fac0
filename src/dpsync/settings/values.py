"""How single values are written in the settings: durations, addresses, listeners, paths, secrets.

Each refusal is a fixed clause of ours: a value may be a password that slipped into the wrong line.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BeforeValidator,
    PlainSerializer,
    PlainValidator,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from dpsync import paths
from dpsync.address import NotAnAddress, in_a_labels, mailbox
from dpsync.errors import ConfigurationError, Fault
from dpsync.paths import Trouble, TroubleKind, Unusable
from dpsync.urls import is_loopback

NAME = r"^[a-z0-9][a-z0-9_-]{0,39}$"

UNSET = "secret_unset"
UNSET_CODE = "DP-204"
"""A secret that is not set *here*: the file may be right, and this shell not the service's environment."""

OURS = "dpsync"
"""The type of a fault whose sentence is ours and may be shown as it is."""

SECRET_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"env": {"type": "string", "pattern": "^[A-Z_][A-Z0-9_]*$"}, "file": {"type": "string"}},
    "minProperties": 1,
    "maxProperties": 1,
    "additionalProperties": False,
}
_UNITS = {
    "s": 1, "sec": 1, "second": 1, "min": 60, "minute": 60, "h": 3600, "hour": 3600,
    "d": 86400, "day": 86400, "week": 604800,
}  # fmt: skip
_DURATION = re.compile(r"([0-9]{1,6}) *(" + "|".join(_UNITS) + r")s?")
_WAY_OUT = "put the secret into a file of that name, mode 0600"
_ENV_NAME = re.compile(r"[A-Z_][A-Z0-9_]*")
SHORTEST_PASSPHRASE = 16
"""Four or five words by lot. Whoever guesses has 15 tries a link."""

_PATH_SECRET = re.compile(r"[A-Za-z0-9_-]{22,128}")


def wrong(problem: str) -> PydanticCustomError:
    """A fault with a clause of ours."""
    return PydanticCustomError(OURS, problem)


@dataclass(frozen=True, slots=True)
class Environment:
    """What a value may depend on beside its text. `lenient`: a secret that cannot be had is let through, unset."""

    environ: Mapping[str, str]
    folder: Path
    lenient: bool = False


class Secret:
    """A secret and where it comes from. Shows only `reference` (`env:NAME` or `file:path`)."""

    __slots__ = ("_value", "reference")

    def __init__(self, reference: str, value: str | None) -> None:
        self.reference = reference
        self._value = value

    def __repr__(self) -> str:
        return f"Secret({self.reference})"

    def get_secret_value(self) -> str:
        """The secret itself. Raises `ConfigurationError` (DP-204) where it is not set here."""
        if self._value is None:
            raise ConfigurationError([Fault(self.reference, "is not set here", UNSET_CODE)])
        return self._value


def resolve(raw: object, here: Environment) -> Secret:
    """The secret that a reference points to. Raises `PydanticCustomError`."""
    if not isinstance(raw, dict) or set(raw) not in ({"env"}, {"file"}):
        raise wrong('must be a reference, { env = "NAME" } or { file = "path" }: never write a secret into this file')
    ((kind, target),) = raw.items()
    if not isinstance(target, str) or not target:
        raise wrong(f"must name the {kind} as text")
    if kind == "env" and not _ENV_NAME.fullmatch(target):
        raise wrong("must name an environment variable in capital letters, digits and _; not the secret itself")
    shown = target if kind == "env" else str(located(target, here.folder))
    try:
        value = _from_environment(target, here.environ) if kind == "env" else _from_file(Path(shown))
    except PydanticCustomError:
        if not here.lenient:
            raise
        return Secret(f"{kind}:{shown}", None)
    return Secret(f"{kind}:{shown}", value)


def _from_environment(name: str, environ: Mapping[str, str]) -> str:
    if not environ.get(name):
        raise PydanticCustomError(UNSET, "the environment variable {name} is not set here", {"name": name})
    return environ[name]


def _from_file(path: Path) -> str:
    """The text of a secret's file. A path is named only where something stands: else it may be the secret itself."""
    try:
        text = paths.read(path, shut_to=paths.STRANGERS).decode().strip("\r\n")
    except Unusable as unusable:
        raise _unusable(unusable.trouble, path) from None
    except ValueError:
        raise wrong("names something that cannot be read as a text file") from None
    if not text:
        raise PydanticCustomError(UNSET, "names a file that is empty")
    return text


def _unusable(trouble: Trouble, path: Path) -> PydanticCustomError:
    if trouble.kind is TroubleKind.VACANT:
        return PydanticCustomError(UNSET, f"points to a file that is not there: {_WAY_OUT}")
    if paths.holds_files(path):
        return wrong("names a folder, not a file in it")
    told = trouble.told(_WAY_OUT)
    type_ = UNSET if trouble.kind in {TroubleKind.EMPTY, TroubleKind.SHUT} else OURS
    return PydanticCustomError(type_, "points to what cannot be used: {told}", {"told": told})


def located(text: str, folder: Path) -> Path:
    """A path of the settings: relative ones begin at the settings file's folder."""
    return Path(folder, text).absolute()


def environment_of(info: ValidationInfo) -> Environment:
    """What `load` gave along for every value."""
    if not isinstance(info.context, Environment):
        raise TypeError("settings are read by load(), which knows the folder and the environment")
    return info.context


def _secret(raw: object, info: ValidationInfo) -> Secret:
    return resolve(raw, environment_of(info))


def _path_secret(raw: object, info: ValidationInfo) -> Secret:
    secret = _secret(raw, info)
    if secret._value is not None and not _PATH_SECRET.fullmatch(secret._value):  # noqa: SLF001  # because an unset secret is no error here
        raise wrong(
            "points to something that cannot be the last part of an address: 22 or more of A-Z, a-z, 0-9, _ and -"
        )
    return secret


def _passphrase(raw: object, info: ValidationInfo) -> Secret:
    secret = _secret(raw, info)
    if secret._value is not None and len("".join(secret._value.split())) < SHORTEST_PASSPHRASE:  # noqa: SLF001  # because an unset secret is no error here
        raise wrong(f"points to a passphrase that is too short: {SHORTEST_PASSPHRASE} or more characters, blanks apart")
    return secret


def _path(raw: object, info: ValidationInfo) -> Path:
    if not isinstance(raw, str) or not raw or "\0" in raw:
        raise wrong("must be the path of a folder, as text")
    return located(raw, environment_of(info).folder)


def duration(raw: object) -> timedelta:
    """`24h`, `90 s`, `30 min`, `10 days`, `2 weeks` as a timedelta. Raises `PydanticCustomError`."""
    found = _DURATION.fullmatch(raw.strip()) if isinstance(raw, str) else None
    if not found:
        raise wrong('must be a number and a unit, such as "24h", "30 min" or "10 days"')
    length = timedelta(seconds=int(found[1]) * _UNITS[found[2]])
    if length > timedelta(days=366):
        raise wrong("is longer than a year")
    return length


def _spelt(length: timedelta) -> str:
    return f"{length.days} days" if length.days and not length.seconds else f"{int(length.total_seconds())} s"


def _positive(length: timedelta) -> timedelta:
    if not length:
        raise wrong("must not be zero")
    return length


def _address(text: str) -> str:
    """As the envelope of a mail carries it; not every mail host takes a name that is not ASCII."""
    try:
        address = in_a_labels(mailbox(text))
    except NotAnAddress:
        raise wrong("must be an email address, without a name") from None
    if not address.isascii() or '"' in address:
        raise wrong("must be an email address with plain letters before the @ and no quotation marks")
    return address


def _listener(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not re.fullmatch(r"[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\]", host) or not re.fullmatch(r"[0-9]{1,5}", port):
        raise wrong("must be a host and a port, such as 127.0.0.1:8460")
    if int(port) > 65535:
        raise wrong("has a port above 65535")
    return text


def _own_listener(text: str) -> str:
    if not is_loopback(_listener(text).rpartition(":")[0]):
        raise wrong("must be on this machine only, such as 127.0.0.1:9460: nobody outside may read metrics")
    return text


def _web_address(text: str) -> str:
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise wrong("must be a URL") from None
    if not host or "@" in parts.netloc or parts.query or parts.fragment or not text.isascii() or re.search(r"\s", text):
        raise wrong("must be a URL without user, query or fragment")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        raise wrong("must begin with https:// (http:// only on this machine)")
    return text.rstrip("/")


def _time_zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise wrong("is not the name of a time zone, such as Europe/London") from None
    return text


def _day(raw: object) -> date:
    if isinstance(raw, date) and not isinstance(raw, datetime):
        return raw
    if isinstance(raw, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", raw):
        try:
            return date.fromisoformat(raw)
        except ValueError:
            pass
    raise wrong("must be a day, such as 2027-06-30")


Text = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f]$")]
Name = Annotated[str, StringConstraints(pattern=NAME)]
Address = Annotated[str, AfterValidator(_address)]
Listener = Annotated[str, AfterValidator(_listener)]
OwnListener = Annotated[str, AfterValidator(_own_listener)]
WebAddress = Annotated[str, AfterValidator(_web_address)]
TimeZone = Annotated[str, AfterValidator(_time_zone)]
Day = Annotated[date, BeforeValidator(_day)]
Folder = Annotated[Path, PlainValidator(_path), WithJsonSchema({"type": "string"})]
SecretReference = Annotated[
    Secret, PlainValidator(_secret), PlainSerializer(lambda secret: secret.reference), WithJsonSchema(SECRET_SCHEMA)
]
Passphrase = Annotated[
    Secret,
    PlainValidator(_passphrase),
    PlainSerializer(lambda secret: secret.reference),
    WithJsonSchema(SECRET_SCHEMA),
]
PathSecret = Annotated[
    Secret,
    PlainValidator(_path_secret),
    PlainSerializer(lambda secret: secret.reference),
    WithJsonSchema(SECRET_SCHEMA),
]
Duration = Annotated[
    timedelta,
    PlainValidator(duration),
    PlainSerializer(_spelt),
    WithJsonSchema({"type": "string", "pattern": rf"^\s*{_DURATION.pattern}\s*$"}),
]
Period = Annotated[Duration, AfterValidator(_positive)]
