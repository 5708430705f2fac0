"""The daily checkpoint, cosigned by the witnesses that [ledger] names: whoever trusts one of them sees one history.

C2SP `tlog-witness`, as its client. A witness that has seen a larger ledger under our key, or another one, is the alarm
that all this is for: then nothing more is signed.
"""

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from hashlib import sha256

from sqlalchemy import Connection

from dpsync.alert_causes import AlertCause
from dpsync.alerts import Concern, raise_alert
from dpsync.connector_services import NoAnswer, Reply
from dpsync.errors import NoteInvalid
from dpsync.installation import Installation
from dpsync.ledger import entry, note
from dpsync.ledger.cosignature import WitnessKey
from dpsync.ledger.entry import EntryKind
from dpsync.propagation.resuming import pause
from dpsync.settings.sections import CosigningSection
from dpsync.store import meta
from dpsync.store.writer import Unit

PATIENCE = timedelta(days=3)
"""How long nothing may come of asking a witness that cosigned before, until the operator hears of it."""

FURTHEST = 10**9
"""So many entries more than ours no witness can have seen: more than any copy of a database is behind."""

_KEY = "cosigned:"
_OF_THE_DAY = "cosigning"
_CONTRADICTED = "contradicted"
"""The row of `meta` with the witness that contradicted last, and the size that it showed."""
_ACCEPTED = "contradiction-accepted:"
_GAPS = "recovered-gaps"
_SIZE = re.compile(rb"([0-9]{1,99})\n")


@dataclass(frozen=True, slots=True)
class Cosigned:
    """The newest checkpoint that a witness cosigned: how many entries it signs, and on which day."""

    size: int
    on: date


def newest(connection: Connection, key: WitnessKey) -> Cosigned | None:
    """The newest that this witness cosigned; None before the first."""
    value = meta.value_of(connection, f"{_KEY}{key.key_id.hex()}")
    if value is None:
        return None
    size, on = value.split(" ")
    return Cosigned(int(size), date.fromisoformat(on))


def ask(there: Installation, now: datetime) -> None:
    """Have each witness cosign today's checkpoint that has not done it yet. What fails is tried again."""
    today, signed = now.astimezone(there.zone).date(), ""
    for one in there.settings.ledger.witnesses:
        try:
            key = WitnessKey.parse(one.key)
        except NoteInvalid as wrong:
            _tell(there, one.key.partition("+")[0], wrong.message, now)
            continue
        last = there.read(lambda connection, key=key: newest(connection, key))  # type: ignore[misc]  # because mypy does not infer a lambda's default
        if (last is None or last.on < today) and not there.custody.unrecovered:
            signed = signed or _of_the_day(there, today, now)
            _ask(there, one, key, last, signed, now)


def _of_the_day(there: Installation, today: date, now: datetime) -> str:
    """One and the same for all of them, also for those that are asked later: a quorum is over one checkpoint."""
    kept = there.read(lambda connection: meta.value_of(connection, _OF_THE_DAY)) or ""
    day, _, signed = kept.partition("\n")
    if day != today.isoformat():
        signed = there.anchor(now)
        there.write(lambda unit: meta.put(unit.connection, _OF_THE_DAY, f"{today.isoformat()}\n{signed}"))
    return signed


def _ask(
    there: Installation, one: CosigningSection, key: WitnessKey, last: Cosigned | None, signed: str, now: datetime
) -> None:
    size, old = note.parse(signed)[0].size, last.size if last else 0
    try:
        reply = _post(there, one, min(old, size), signed)
        theirs = _size_in(reply)
        if theirs is not None and theirs <= size:
            # A 200 that was lost, or a database that was put back: from what it has seen, and once only.
            reply, old = _post(there, one, theirs, signed), theirs
            theirs = _size_in(reply)
    except NoAnswer as failure:
        _bear(there, key, last, failure.reason, now)
        return
    if theirs is not None and theirs > size + FURTHEST:
        _tell(there, key.name, "it misbehaves: no ledger has as many entries as it says it cosigned of ours", now)
    elif theirs is not None and theirs > size:
        _contradicted(there, key, theirs, f"it has cosigned {theirs:,} entries of this ledger", now)
    elif reply.status == 422:
        _contradicted(there, key, min(old, size), "it has seen another ledger under this key", now)
    elif reply.status == 200 and (line := _line_in(reply, signed, key)):
        _keep(there, key, signed, line, now)
    elif reply.status in {409, 429} or reply.status >= 500:
        _bear(there, key, last, f"it did not cosign (status {reply.status})", now)
    else:
        known = "it does not know this ledger, or its key" if reply.status in {403, 404} else "it did not cosign"
        _tell(there, key.name, f"{known} (status {reply.status})", now)


def _bear(there: Installation, key: WitnessKey, last: Cosigned | None, why: str, now: datetime) -> None:
    """What may pass by itself is told of when it has lasted; at once where the witness has never cosigned."""
    if last is None or now.astimezone(there.zone).date() - last.on > PATIENCE:
        _tell(there, key.name, why, now)


def _post(there: Installation, one: CosigningSection, old: int, signed: str) -> Reply:
    body = there.read(lambda connection: there.log.continuation(connection, old, signed))
    return there.http.call(
        "POST",
        f"{one.url}/add-checkpoint",
        template="/add-checkpoint",
        headers={"Content-Type": "text/plain; charset=utf-8"},
        body=body.encode(),
    )


def _size_in(reply: Reply) -> int | None:
    found = _SIZE.fullmatch(reply.body) if reply.status == 409 else None
    return int(found[1]) if found else None


def _line_in(reply: Reply, signed: str, key: WitnessKey) -> str:
    """The line by which this witness cosigned, found to fit; "" where there is none."""
    for line in reply.body.decode(errors="replace").split("\n")[:-1]:
        try:
            if key.cosigned_at(f"{signed}{line}\n") is not None:
                return f"{line}\n"
        except NoteInvalid:
            continue
    return ""


def _keep(there: Installation, key: WitnessKey, signed: str, line: str, now: datetime) -> None:
    size, today = note.parse(signed)[0].size, now.astimezone(there.zone).date()
    kept = there.custody.anchors.write_cosigned(signed, line)

    def work(unit: Unit) -> None:
        # a crash just before asks it again, and it cosigns the same once more
        meta.put(unit.connection, f"{_KEY}{key.key_id.hex()}", f"{size} {today.isoformat()}")
        # it has joined this history: from now on its contradiction is a new one
        meta.put(unit.connection, f"{_ACCEPTED}{key.key_id.hex()}", "")
        digest = sha256(kept.encode()).hexdigest()
        unit.append(None, entry.encode(EntryKind.ANCHOR, now, n=size, name=entry.safe(key.name), digest=digest))

    there.write(work)


def accept(connection: Connection, size: int, short: int) -> None:
    """A person goes on with `size` entries, and knows that `short` more are lost: no witness's word of those stops
    signing again. The last contradiction of a witness is accepted up to the size that it showed, and for it alone.
    """
    if short:
        gaps = meta.value_of(connection, _GAPS) or ""
        meta.put(connection, _GAPS, f"{gaps} {size}-{size + short}".strip())
    if last := meta.value_of(connection, _CONTRADICTED):
        witness, seen = last.split(" ")
        meta.put(connection, f"{_ACCEPTED}{witness}", seen)
        meta.put(connection, _CONTRADICTED, "")


def _is_known(connection: Connection, key: WitnessKey, seen: int) -> bool:
    accepted = meta.value_of(connection, f"{_ACCEPTED}{key.key_id.hex()}")
    if accepted and seen <= int(accepted):
        return True
    gaps = [one.split("-") for one in (meta.value_of(connection, _GAPS) or "").split()]
    return any(int(left) < seen <= int(lost) for left, lost in gaps)


def _contradicted(there: Installation, key: WitnessKey, seen: int, why: str, now: datetime) -> None:
    """`seen`: how many entries it has cosigned of the other history."""
    if not there.read(lambda connection: _is_known(connection, key, seen)):
        _stop(there, key, seen, why, now)
        return
    lost = "it has cosigned what was lost when the database was recovered, and cosigns no other history of this ledger"
    _tell(there, key.name, lost, now)


def _stop(there: Installation, key: WitnessKey, seen: int, why: str, now: datetime) -> None:
    """Sign and send nothing more: whoever can show two histories has made one of them, and if this is the older one,
    what it calls open may be done."""

    def work(unit: Unit) -> None:
        meta.put(unit.connection, _CONTRADICTED, f"{key.key_id.hex()} {seen}")
        pause(unit.connection, {section.account for section in there.settings.processors.values()})
        raise_alert(
            unit.connection,
            cause=AlertCause.WITNESS_CONTRADICTS,
            role="dpo",
            subject="A witness knows another history of the ledger: nothing more is signed",
            body="Either an old back-up was put back, or somebody changed the ledger. All processors are paused. Keep "
            "every copy as it is, find out which it was, and run `dpsync verify`. If it was a back-up: `dpsync recover "
            "--by NAME --reason WHY`, then `dpsync resume`.",
            now=now,
            zone=there.zone,
            concerns=[Concern(key.name, f"{key.name}: {why}")],
            at_once=True,
        )

    there.write(work)  # before the mark: where that stands, no witness is asked, and nothing is told any more
    there.custody.begin_restore(f"{entry.safe(key.name)} {seen}\n".encode())


def _tell(there: Installation, name: str, why: str, now: datetime) -> None:
    there.tell(
        cause=AlertCause.WITNESS,
        role="operator",
        subject="A witness does not cosign the ledger's checkpoint",
        body="dpsync tries again every hour. Look at [ledger] witnesses, and ask whoever runs the witness.",
        now=now,
        concerns=[Concern(f"{name}/{why}", f"{name}: {why}")],
    )
