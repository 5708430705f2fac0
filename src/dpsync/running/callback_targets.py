"""Who is told: main databases what became of their requests, and processors' own systems; how each answers just now."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, delete, exists, func, select, update

from dpsync.connector import TakesBack
from dpsync.errors import ConfigurationError, Fault
from dpsync.installation import Installation
from dpsync.propagation import notes
from dpsync.propagation.queue.due import jitter
from dpsync.propagation.rules.backoff import delay
from dpsync.sealing import Keys
from dpsync.settings.callbacks import CallbackForm, CallbackSection, SourceCallbackSection
from dpsync.settings.opendsr import PREFIX, source_of
from dpsync.settings.sources import SIGNED_DOOR
from dpsync.signature import Verifier, sign
from dpsync.store import tables as t
from dpsync.store.callback_tables import callback, callback_target
from dpsync.store.columns import EPOCH
from dpsync.store.upsert import insert_or_replace_all

LONGEST_WAIT = timedelta(days=2)
"""More than anything waits: what is due later than that was put off by a clock that was ahead."""

SENT_AGAIN = timedelta(days=30)
"""For how long what was given up can be sent again."""

_SENDABLE = re.compile(r"[!-~]+")
_UNSENDABLE = "must be printable, without spaces"
_C, _T = callback.c, callback_target.c
OPEN = _C.told_at.is_(None) & _C.dropped_at.is_(None)
"""What a main database has yet to hear."""


@dataclass(frozen=True, slots=True)
class CallbackTarget:
    """Who is told: one main database, or processor.

    `private_host`: the host that may be inside our network, "" for none. `form`: a platform hears only how a request
    ended, in words of its own; `gateway_key`: of Transcend's own gateway.
    `hosts`: where a controller of OpenDSR may be told, as https://host: each of its requests names addresses there.
    `taker`: whoever makes the calls by which a processor hears of a withdrawal in its own way.
    """

    source: str
    url: str = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    private_host: str = ""
    form: CallbackForm = CallbackForm.STANDARD
    gateway_key: str = field(default="", repr=False)
    hosts: tuple[str, ...] = ()
    taker: TakesBack | None = None

    @property
    def is_platform(self) -> bool:
        """Whether it is a privacy platform."""
        return self.is_opendsr or self.form is not CallbackForm.STANDARD

    @property
    def is_opendsr(self) -> bool:
        """Whether it is a controller of OpenDSR."""
        return bool(self.hosts)

    def headers(self, message_id: str, body: bytes, now: datetime) -> dict[str, str]:
        """Signed with each secret: during a change the main database may know only one of them."""
        stamp = (now - EPOCH) // timedelta(seconds=1)
        return {
            "content-type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(stamp),
            "webhook-signature": " ".join(sign(secret, message_id, stamp, body) for secret in self.secrets),
        }


def targets_of(there: Installation) -> Mapping[str, CallbackTarget]:
    """All that the settings name, by source. Raises `ConfigurationError` that names each fault."""
    found, faults = dict[str, CallbackTarget](), list[Fault]()
    for source, section in there.settings.callbacks.items():
        try:
            found[source] = _target(source, section)
        except ConfigurationError as error:
            faults += [Fault(named(source, one.key), one.problem, one.code) for one in error.faults]
    if faults:
        raise ConfigurationError(faults)
    return found | dict(_of_opendsr(there))


def _of_opendsr(there: Installation) -> Iterator[tuple[str, CallbackTarget]]:
    section = there.settings.opendsr
    for name, one in section.controllers.items() if section else ():
        if one.callbacks:
            host = (one.private_host or "").lower()
            source, every = source_of(name), "\n".join(one.callbacks)
            yield source, CallbackTarget(source, every, (), host, hosts=one.callbacks)


def processors_of(there: Installation) -> Mapping[str, CallbackTarget]:
    """The processors whose own system can be reminded, or told that a request was withdrawn."""
    found = dict[str, CallbackTarget]()
    for one, taker in notes.takers(there.controller):
        source = notes.PREFIX + one.name
        if isinstance(taker, TakesBack):
            found[source] = CallbackTarget(source, "", (), taker.taken_back_at(), taker=taker)
        else:
            to = taker.notes_to()
            found[source] = CallbackTarget(source, to.url, to.secrets, to.private_host)
    return found


def receiver(source: str) -> str:
    """What one that is told is."""
    return "processor" if source.startswith(notes.PREFIX) else "main database"


def named(source: str, key: str) -> str:
    """The key path of a setting of a callback, from its own name or from that of its like at the signed door."""
    if source.startswith(notes.PREFIX):
        return f"{source}.{key.removeprefix('intake.')}"
    if source.startswith(PREFIX):
        return f"opendsr.controllers.{source.removeprefix(PREFIX)}.callbacks"
    place = "intake" if source == SIGNED_DOOR else f"sources.{source}"
    return f"{place}.callback.{key.removeprefix('intake.')}"


def _target(source: str, section: CallbackSection) -> CallbackTarget:
    secrets, host = tuple(one.get_secret_value() for one in section.secrets), (section.private_host or "").lower()
    if isinstance(section, SourceCallbackSection) and section.is_platform:
        own = section.gateway_key.get_secret_value() if section.gateway_key else ""
        faults = [Fault("secrets", _UNSENDABLE)] if not all(map(_SENDABLE.fullmatch, secrets)) else []
        faults += [Fault("gateway_key", _UNSENDABLE)] if own and not _SENDABLE.fullmatch(own) else []
        if faults:
            raise ConfigurationError(faults)
        return CallbackTarget(source, section.url, secrets, host, section.form, own)
    Verifier(secrets)  # what can be verified with can be signed with
    return CallbackTarget(source, section.url, secrets, host)


# --- how it answers


@dataclass(frozen=True, slots=True)
class CallbackBacklog:
    """What a main database has yet to hear. `said`: what came of the newest attempt at the oldest of it."""

    source: str
    number: int
    since: datetime
    said: str


def backlogs(connection: Connection) -> dict[str, CallbackBacklog]:
    """Of every main database that has something to hear."""
    oldest = select(_C.source, func.count().label("number"), func.min(_C.ordinal).label("first")).where(OPEN)
    many = oldest.group_by(_C.source).subquery()
    found = select(_C.source, many.c.number, _C.made_at, _C.said).join(many, many.c.first == _C.ordinal)
    return {row.source: CallbackBacklog(*row) for row in connection.execute(found)}


def quiet(connection: Connection, keys: Keys, targets: Mapping[str, CallbackTarget], now: datetime) -> set[str]:
    """Who is not called just now. A stop is for the address that asked for it, and a new one is called."""
    rows = [row for row in connection.execute(select(callback_target)) if row.source in targets]
    paused = {row.source for row in rows if row.paused_until and now < row.paused_until <= now + LONGEST_WAIT}
    return paused | {row.source for row in rows if row.stopped_url == _digest(keys, targets[row.source])}


def stopped(connection: Connection, keys: Keys, target: CallbackTarget) -> datetime | None:
    """Since when nothing is sent to it because it said so; None where that is not so."""
    here = (_T.source == target.source) & (_T.stopped_url == _digest(keys, target))
    found: datetime | None = connection.execute(select(_T.stopped_at).where(here)).scalar()
    return found


def is_well(connection: Connection, source: str) -> None:
    """It answers: nothing is to be remembered of it."""
    connection.execute(delete(callback_target).where(_T.source == source))


def leave_in_peace(
    connection: Connection, keys: Keys, target: CallbackTarget, wish: timedelta | None, now: datetime, *, gone: bool
) -> None:
    """Do not call it for as long as it wishes, else longer with each failure; `gone`: until a person says so."""
    failures = (connection.execute(select(_T.failures).where(_T.source == target.source)).scalar() or 0) + 1
    values = {
        "source": target.source,
        "failures": failures,
        "paused_until": now + (wish or delay(failures, jitter())),
        "stopped_at": now if gone else None,
        "stopped_url": _digest(keys, target) if gone else "",
    }
    insert_or_replace_all(connection, callback_target, [values])


def resume(connection: Connection, now: datetime) -> None:
    """Call every main database again, now, and send again what was given up."""
    connection.execute(update(callback_target).values(paused_until=None, stopped_at=None, stopped_url="", failures=0))
    anew = {"dropped_at": None, "attempts": 0, "due_at": now, "said": ""}
    connection.execute(update(callback).where(_given_up(now)).values(anew))


def given_up(connection: Connection, now: datetime) -> dict[str, int]:
    """How many messages were given up and can be sent again, by source."""
    found = select(_C.source, func.count()).where(_given_up(now)).group_by(_C.source)
    return {row[0]: row[1] for row in connection.execute(found)}


def _given_up(now: datetime) -> ColumnElement[bool]:
    """Not what names a person who was forgotten since; and nobody acts on an opt-out of last year as if it were new."""
    r = t.request.c
    can_be_named = exists().where(r.id == _C.request_id, r.sealed.is_not(None))
    return (_C.dropped_at > now - SENT_AGAIN) & ((_C.named_in == "") | can_be_named)


def _digest(keys: Keys, target: CallbackTarget) -> str:
    return keys.mac("callback", target.url.encode()).hex()[:32]  # the address may hold a secret
