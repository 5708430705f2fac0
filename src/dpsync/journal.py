"""The journal: what was accepted, kept outside the database, so that a database that lost some of it is known.

A line is one group of requests (withdrawals, and news of merges), sealed; it is written and on the disk after their
commit and before anybody is told 202. So every request that was answered 202 is in here, and every line tells of what
was committed:

- dead before the commit: neither database nor journal have it, and nobody was answered;
- dead after the commit, before the line or within it: the database has it, nobody was answered. The sender repeats, and
  that answer is written here too; at the next start what the database alone has is added;
- dead after the line: both have it.

A half line (the last one, without its line feed) is no loss therefore: whoever writes next cuts it off. A whole line
that does not open was changed, and what it told of is not known. A request in here that the database lacks was lost by
the database.

Nothing of what a person asked, or who it is, stands in here: see docs/decisions/0017-the-journal-knows-no-person.md.
"""

import base64
import binascii
import errno
import fcntl
import json
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from dpsync import durable, paths
from dpsync.errors import KeyProblem, ProofDamaged, ProofDiskFull
from dpsync.paths import Trouble, TroubleKind
from dpsync.sealing import Keys

MERGE_TOLD = "merge told"
"""What the row of table `shelf` is called that says that the news of a merge came. It has no request to be known by:
its key, which is its id here, tells it from any other, and says nothing of anybody."""

NAME = "journal"
GAP = f"{NAME}.gap"

TAIL = 256 * 1024
"""Bytes in which the last line is looked for first: the largest group has a sixth of it."""

_LINES_LOST = (
    f", so nobody knows which requests it listed. Restore the newest copy. If there is none, rename it to {GAP}: "
    "dpsync then begins another"
)


_OUR_OWN_ID = re.compile(r"[0-9a-f]{32,64}(?:\.|$)")
"""The id of an event whose sender gave it none: a digest of its body."""


@dataclass(frozen=True, slots=True)
class AcceptedRequest:
    """One event that was answered with "accepted". `kind`: request, withdrawal, or merge: see `MERGE_TOLD`."""

    request_id: str
    source: str
    event_id: str
    at: datetime
    kind: str = "request"

    @property
    def named(self) -> str:
        """As a person is told of it, without the digests by which we know a merge, or a message that had no id."""
        what = "a merge" if self.kind == "merge" else f"{self.kind} {self.request_id}"
        if _OUR_OWN_ID.match(self.event_id):
            return f"{what}, of {self.source}, accepted {self.at:%d %b %Y, %H:%M} UTC"
        return f"{what}, event {self.event_id} of {self.source}"


@dataclass(frozen=True, slots=True)
class Stretch:
    """What a stretch of the journal tells: who was accepted, how many entries the ledger had, where it ends.

    `damaged`: a sentence of each whole line that does not open, and of each place where lines are missing.
    """

    accepted: tuple[AcceptedRequest, ...]
    entries: int
    end: int
    damaged: tuple[str, ...]


class Journal:
    """One file for all processes of an installation; each writes whole lines to its end, under a lock.

    `name`: of one that was set aside, and is only read.
    """

    def __init__(self, folder: Path, keys: Keys, name: str = NAME) -> None:
        self.path = folder / name
        self._gap = folder / GAP
        self._keys = keys
        self._end, self._number = -1, 0  # where our last line ended, and its number

    @property
    def exists(self) -> bool:
        """Whether there is one. Whatever else stands there is in the way of another, too."""
        return os.path.lexists(self.path)  # pathlib has none that never raises

    @property
    def missing(self) -> str:
        """What to do about a journal that is not there or is something else; "" where it is, or a person has accepted
        that it is not.
        """
        found = self._trouble(writes=False)
        if found is None or (found.kind is TroubleKind.VACANT and self._gap.exists()):
            return ""
        return "the journal of accepted requests, " + found.told(
            f"restore it (is its disk mounted?). If it is lost for good, make an empty file {self._gap}: "
            f"`touch {shlex.quote(str(self._gap))}`. dpsync then begins another"
        )

    @property
    def unwritable(self) -> Trouble | None:
        """What keeps this user from writing into it."""
        return self._trouble(writes=True)

    def _trouble(self, *, writes: bool) -> Trouble | None:
        found = paths.trouble_of(lambda: paths.demand_file(self.path, writes=writes))
        if found is None and self.path.is_symlink():  # never followed: it could lead into any file
            return Trouble(TroubleKind.OTHER, f"{self.path} is a link, where a file should be", paths.away(self.path))
        return found

    def begin(self) -> None:
        """An empty one, where there is none: for a new ledger, or after a person has accepted its loss."""
        durable.place(self.path, b"")

    def demand(self) -> None:
        """Refuse to accept anything that could not be written here. Raises `ProofDamaged`."""
        if found := self.unwritable:
            raise ProofDamaged(self.missing or f"{found.told('')}. dpsync accepts nothing")

    def append(self, accepted: Sequence[AcceptedRequest], entries: int) -> int:
        """Keep what was committed. `entries`: how many the ledger has, 0 for not known. On the disk when it returns.

        Returns where the file ends. Raises `ProofDamaged`: then nobody may be told that it was accepted.
        """
        try:
            with self._locked() as file:
                begins, first = self._mended(file)
                if begins != self._end:
                    self._number = self._last_number()  # another process has written since
                line = self._line(self._number + 1, accepted, entries)
                content = first + line
                if os.write(file, content) != len(content):
                    raise OSError(errno.ENOSPC, "half a line")  # noqa: TRY301 - because a full disk may also say so by writing less
                os.fsync(file)
                self._number += 1
                self._end = begins + len(content)
                return self._end
        except OSError as refused:
            self._end = -1
            kind = ProofDiskFull if durable.is_full(refused) else ProofDamaged
            raise kind(f"{paths.told_of(self.path, refused).told('')}. dpsync accepts nothing") from None

    def read(self, start: int = 0) -> Stretch:
        """What it tells from that byte on. Raises `ProofDamaged` where it is shorter, or not to be read."""
        if wrong := self.missing:
            raise ProofDamaged(wrong)  # a pipe would be waited for
        try:
            with self.path.open("rb") as file:
                if file.seek(0, os.SEEK_END) < start:
                    raise ProofDamaged(
                        f"{self.path} is shorter than it was: an older copy, or a damaged file. Restore the newest copy"
                    )
                file.seek(start)
                raw = file.read()
        except OSError as refused:
            raise ProofDamaged(f"{self.path} cannot be read: {refused.strerror}") from None
        accepted: list[AcceptedRequest] = []
        damaged: list[str] = []
        entries, number = 0, 0 if start == 0 else None
        *whole, torn = raw.split(b"\n")
        behind = f" behind byte {start:,}" if start else ""
        for place, line in enumerate([*whole, torn], 1):
            opened = self._opened(line)
            if opened is None:
                if place <= len(whole):
                    damaged.append(f"{self.path} is a damaged file: line {place}{behind} does not open{_LINES_LOST}")
                number = None
                continue
            said, group = opened
            if number is not None and said["n"] != number + 1:
                what = "lines are missing before" if said["n"] > number else "an older line stands once more at"
                damaged.append(f"{self.path} is a damaged file: {what} line {place}{behind}{_LINES_LOST}")
            number = said["n"]
            entries = max(entries, said["size"])
            accepted += group
        return Stretch(tuple(accepted), entries, start + len(raw) - len(torn), tuple(damaged))

    def _mended(self, file: int) -> tuple[int, bytes]:
        """Where the next line begins and what it begins with, once the half of one that nobody finished is cut off.

        Nobody was told "accepted" on such a half. One that lacks nothing but its line feed gets that.
        """
        end = os.lseek(file, 0, os.SEEK_END)
        _, feed, half = os.pread(file, TAIL, max(0, end - TAIL)).rpartition(b"\n")
        if not half:
            return end, b""
        if self._opened(half) or (not feed and end > TAIL):  # so long a one is none of ours: it stays, as damage
            return end, b"\n"
        os.ftruncate(file, end - len(half))
        return end - len(half), b""

    def _last_number(self) -> int:
        size = self.path.stat().st_size
        for length in (min(size, TAIL), size):
            with self.path.open("rb") as file:
                file.seek(size - length)
                lines = file.read(length).split(b"\n")
            for line in reversed(lines):
                opened = self._opened(line)
                if opened is not None:
                    number: int = opened[0]["n"]
                    return number
        return 0

    def _line(self, number: int, accepted: Sequence[AcceptedRequest], entries: int) -> bytes:
        group = [[one.request_id, one.source, one.event_id, int(one.at.timestamp()), one.kind] for one in accepted]
        plain = json.dumps({"n": number, "size": entries, "accepted": group}, separators=(",", ":")).encode()
        return base64.b64encode(self._keys.seal(NAME, plain, NAME.encode())) + b"\n"

    def _opened(self, line: bytes) -> tuple[dict[str, int], list[AcceptedRequest]] | None:
        try:
            said = json.loads(self._keys.open(NAME, base64.b64decode(line, validate=True), NAME.encode()))
        except (binascii.Error, KeyProblem):
            return None
        group = [
            AcceptedRequest(request_id, source, event_id, datetime.fromtimestamp(at, UTC), kind)
            for request_id, source, event_id, at, kind in said["accepted"]
        ]
        return said, group

    @contextmanager
    def _locked(self) -> Iterator[int]:
        # Never created here: where it is missed, none is made.
        file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        finally:
            os.close(file)
