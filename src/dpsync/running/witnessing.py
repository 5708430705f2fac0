"""A witness of other ledgers: it cosigns a checkpoint only if that continues the one it cosigned before.

C2SP `tlog-witness`: add-checkpoint, and the last checkpoint again for whoever asks. Which ledger had which size is
written before the answer goes, in the transaction that compares it: two at once can never both be cosigned.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from dpsync import durable, paths, telemetry
from dpsync.errors import ConfigurationError, Fault, NoteInvalid, ProofDamaged
from dpsync.installation import Installation
from dpsync.ledger import continuation, merkle, note
from dpsync.ledger.cosignature import Cosigner
from dpsync.running import listener
from dpsync.running.listener import Answering
from dpsync.store import meta
from dpsync.store.writer import Unit

LARGEST = continuation.LARGEST
SECONDS = 10
"""How long a connection may say nothing."""

_KEY = "witnessed:"
TEXT, SIZE = "text/plain; charset=utf-8", "text/x.tlog.size"


@dataclass(frozen=True, slots=True)
class Said:
    """An answer: the status, the body, and what kind of text it is."""

    status: int
    body: str = ""
    kind: str = TEXT


def cosigner_of(there: Installation) -> Cosigner:
    """The witness's own key: one that signs nothing else, and is back with the key directory."""
    return Cosigner.from_seed(f"{there.origin}/witness", there.keys.mac("witness", b"cosignature/v1"))


def logs_of(there: Installation) -> Mapping[str, note.VerifierKey]:
    """The ledgers that are witnessed, by their origin. Raises `ConfigurationError`."""
    try:
        keys = [note.VerifierKey.parse(line) for line in there.settings.witness.logs]
    except NoteInvalid as wrong:
        raise ConfigurationError([Fault("witness.logs", wrong.message)]) from None
    if {key.line for key in keys} & {key.line for key in there.log.keys}:
        own = "names this ledger itself: what it signs it cannot witness. Somebody else must"
        raise ConfigurationError([Fault("witness.logs", own)])
    return {key.name: key for key in keys}


def demand_others(there: Installation) -> None:
    """Refuse settings by which an installation would be its own witness. Raises `ConfigurationError`."""
    logs_of(there)
    own = cosigner_of(there).witness.line
    if own in {one.key for one in there.settings.ledger.witnesses}:
        said = "is the key of this installation's own witness: it cannot show that there is no second history"
        raise ConfigurationError([Fault("ledger.witnesses", said)])


def add_checkpoint(there: Installation, raw: bytes) -> Said:
    """Cosign what continues what was cosigned; persisted before this returns."""
    try:
        step = continuation.parse(raw.decode())
        head, signatures = note.parse(step.checkpoint)
    except (NoteInvalid, UnicodeDecodeError):
        return Said(400)
    key = logs_of(there).get(head.origin)
    if key is None:
        return Said(404)
    try:
        note.verify(step.checkpoint, [key])
    except NoteInvalid:
        return Said(403)
    own = next(one for one in signatures if (one.name, one.key_id) == (key.name, key.key_id))
    cosigner, at = cosigner_of(there), int(there.clock.now().timestamp())

    def work(unit: Unit) -> Said:
        before = _remembered(there, unit.connection, key)
        known = note.parse(before)[0] if before else note.Checkpoint(head.origin, 0, merkle.EMPTY_ROOT)
        if step.old != known.size:
            return Said(409, f"{known.size}\n", SIZE)
        if not step.leads_from(known.root) or (head.size == 0 and head.root != merkle.EMPTY_ROOT):
            return Said(422)
        line = cosigner.line(head, at)
        cosigned = f"{head.text}\n{own.line}{line}"
        # Before the commit, and so before the answer: what the file alone knows, nobody was given a line of.
        durable.replace(_outside(there, head.origin), cosigned.encode())
        meta.put(unit.connection, f"{_KEY}{head.origin}", cosigned)
        return Said(200, line)

    return there.write(work)


def _outside(there: Installation, origin: str) -> Path:
    """Where it is kept besides: a database that is put back must not cosign a second history."""
    return there.settings.ledger.anchor / f"{hashlib.sha256(origin.encode()).hexdigest()}.witnessed"


def _remembered(there: Installation, connection: Connection, key: note.VerifierKey) -> str | None:
    """What was cosigned last of that ledger: by the database or, where that is older, by the file outside it.

    Raises `ProofDamaged` where that file says nothing: then nobody knows.
    """
    path = _outside(there, key.name)
    found = [meta.value_of(connection, f"{_KEY}{key.name}")]
    if path.exists():
        try:
            found.append(paths.read(path, most=note.LARGEST).decode())
            note.verify(found[-1] or "", [key])
        except (paths.Unusable, UnicodeDecodeError, NoteInvalid):
            raise ProofDamaged(f"{path} is a damaged file: put it back from a copy") from None
    return max((one for one in found if one), key=lambda one: note.parse(one)[0].size, default=None)


def last_checkpoint(there: Installation, path: str) -> Said:
    """What was cosigned last for the ledger whose origin has that SHA-256 (`/HEX/checkpoint`)."""
    for origin, key in logs_of(there).items():
        if path == f"/{hashlib.sha256(origin.encode()).hexdigest()}/checkpoint":
            found = there.read(lambda connection, key=key: _remembered(there, connection, key))  # type: ignore[misc]  # because mypy does not infer a lambda's default
            return Said(200, found) if found else Said(404)
    return Said(404)


@contextmanager
def listening(there: Installation) -> Iterator[str]:
    """Answer on `[witness] listen` while the block runs. Gives the address. Raises `Locked`, `ConfigurationError`."""
    logs_of(there)
    with listener.listening(there.settings.witness.listen, _page_of(there), "witness", "witness.listen") as address:
        yield address


def _page_of(there: Installation) -> type[Answering]:
    class Page(Answering):
        timeout = SECONDS

        def do_POST(self) -> None:  # noqa: N802 - because the library names it so
            length = self.headers.get("Content-Length", "")
            if self.path != "/add-checkpoint":
                self._answer(Said(404))
            elif not (length.isascii() and length.isdecimal()):
                self._answer(Said(411))
            elif (
                len(length) > len(str(LARGEST)) or int(length) > LARGEST
            ):  # a number of 5,000 digits is none for Python
                self._answer(Said(413))
            elif len(body := self.rfile.read(int(length))) < int(length):
                self._answer(Said(400))
            else:
                self._guarded(lambda: add_checkpoint(there, body))

        def do_GET(self) -> None:  # noqa: N802 - because the library names it so
            self._guarded(lambda: last_checkpoint(there, self.path))

        def _guarded(self, work: Callable[[], Said]) -> None:
            try:
                # a database that was put back has forgotten what it cosigned
                said = Said(503) if there.custody.unrecovered else work()
            except Exception as error:  # noqa: BLE001 - because a traceback on stderr would quote values
                telemetry.log("witness").error("not answered", error=error)
                said = Said(503)
            self._answer(said)

        def _answer(self, said: Said) -> None:
            self.answer(said.status, said.body.encode(), said.kind)

    return Page
