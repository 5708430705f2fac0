"""What an installation does while it is killed, and what must be so when it was started again."""

import json
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Protocol

import requests
from sqlalchemy import select, update

from dpsync.installation import Installation
from dpsync.ledger import entry
from dpsync.propagation.receipts import closed
from dpsync.signature import signed_headers
from dpsync.store import tables as t
from tests.crashes.killing import Place
from tests.waiting import LONG, until

KNOWN = {"DP-201", "DP-301"}
"""What `check` says where no processor is configured yet, and of an installation that alerts by mail alone."""


class Life(Protocol):
    """`begin` and `before` are not killed, `live` is; `after` looks."""

    def begin(self, place: Place) -> None: ...
    def before(self, place: Place, number: int) -> None: ...
    def live(self, place: Place, number: int) -> None: ...
    def after(self, place: Place, number: int) -> None: ...


def submit(place: Place, number: int) -> None:
    person = ("--email", f"p{number}@example.org", "--id", f"crm-{number}")
    if place.demand("submit", "opt_out", *person, "--event-id", f"evt-{number}"):
        place.tell(f"evt-{number}")


def sound(place: Place) -> None:
    """No alarm. (`verify` gives the same verdict, and is asked once, at the end.)"""
    wrong = place.wrong()
    assert set(wrong) <= KNOWN, wrong


def left_alone(place: Place) -> None:
    """Ten minutes have passed: on a server nobody goes on with what a dead worker held before its lease is over."""
    with Installation(place.config, os.environ) as service:
        long_ago = datetime.now(UTC) - timedelta(minutes=10)
        service.write(lambda unit: unit.connection.execute(update(t.worker).values(beat_until=long_ago)))


class Work:
    """A request from its acceptance to the receipt."""

    def begin(self, place: Place) -> None:
        place.demand("init")
        self.live(place, 0)
        self.after(place, 0)

    def before(self, place: Place, number: int) -> None:
        """Nothing."""

    def live(self, place: Place, number: int) -> None:
        submit(place, number)
        place.demand("run-once")

    def after(self, place: Place, number: int) -> None:
        sound(place)
        left_alone(place)
        submit(place, number)  # the main database sends again what it has no answer for
        place.demand("run-once")
        self.look(place, number)

    def look(self, place: Place, number: int) -> None:
        """Everything that was accepted is there, in each of its places."""
        with Installation(place.config, os.environ) as service:
            rows = service.read(lambda connection: connection.execute(select(t.request)).all())
            events = [row.event_id for row in rows]
            assert len(events) == len(set(events)), "taken twice"
            assert {*place.told, f"evt-{number}"} <= set(events), "what was accepted is lost"
            kept = {one.event_id for one in service.custody.journal.read().accepted}
            assert set(events) <= kept, "the journal does not tell of all"
            assert all(row.closed_at for row in rows), "not through"
            assert service.custody.receipts.missing(service.read(closed)) == []
            assert (service.settings.ledger.receipts / "verify_receipt.py").is_file()
            anchored = service.custody.anchors.read({}).notes
            under = service.custody.receipts.checkpoints()
            assert set(under.values()) <= set(anchored), "a receipt's checkpoint is kept nowhere else"


class Door(Work):
    """A webhook at the receiver of a `serve`."""

    def begin(self, place: Place) -> None:
        place.demand("init")
        self.after(place, 0)

    def live(self, place: Place, number: int) -> None:
        """Watched only once it serves: how it begins is what `run-once` does, too."""
        place.steps.pause()
        self._serve(place, number, place.steps.go_on)

    def after(self, place: Place, number: int) -> None:
        sound(place)
        left_alone(place)
        # The main database sends again what it has no answer for. Ended right after its 202, a request would wait.
        self._serve(place, number, lambda: None, to_the_end=True)
        place.demand("run-once")
        self.look(place, number)

    def _serve(self, place: Place, number: int, ready: Callable[[], None], *, to_the_end: bool = False) -> None:
        sender = threading.Thread(target=self._send, args=(place, number, ready, to_the_end))
        sender.start()
        place.demand("serve")
        sender.join()

    def _send(self, place: Place, number: int, ready: Callable[[], None], to_the_end: bool) -> None:
        """What a main database does: it sends until it hears 202."""
        url, secret = os.environ["DPSYNC_TEST_URL"], os.environ["DPSYNC_TEST_SECRET"]
        subject = {"id": f"crm-{number}", "email": f"p{number}@example.org"}
        body = json.dumps({"type": "data_subject.request", "data": {"right": "opt_out", "subject": subject}}).encode()
        try:
            until(lambda: _ready(url))
            ready()
            headers = signed_headers(secret, f"evt-{number}", datetime.now(UTC), body)
            reply = requests.post(f"{url}/requests", data=body, headers=headers, timeout=LONG)
            if reply.status_code == 202:
                place.tell(f"evt-{number}")
                until(lambda: not to_the_end or _is_through(place, reply.json()["request"]))
        finally:
            os.kill(os.getpid(), signal.SIGTERM)


class Begun:
    """`init`, each time where nothing is."""

    def begin(self, place: Place) -> None:
        """What is loaded here need not be loaded by each life."""
        self.before(place, 0)
        self.live(place, 0)
        self.after(place, 0)

    def before(self, place: Place, number: int) -> None:
        place.config = place.folder / str(number) / "dpsync.toml"

    def live(self, place: Place, number: int) -> None:
        place.demand("init", *_answers(place))

    def after(self, place: Place, number: int) -> None:
        place.config = place.folder / str(number) / "dpsync.toml"
        place.demand("init", *_answers(place))
        with Installation(place.config, os.environ) as service:
            assert service.custody.anchors.read({}).notes, "no checkpoint outside"
        sound(place)
        submit(place, number)
        place.demand("run-once")
        with Installation(place.config, os.environ) as service:
            assert [one.event_id for one in service.custody.journal.read().accepted] == [f"evt-{number}"]


def _ready(url: str) -> bool:
    with suppress(requests.ConnectionError):
        return requests.get(f"{url}/readyz", timeout=LONG).status_code == 200
    return False


def _is_through(place: Place, request_id: str) -> bool:
    mine = select(t.request.c.closed_at).where(t.request.c.id == request_id)
    with Installation(place.config, os.environ) as service:
        return service.read(lambda connection: connection.execute(mine).scalar_one()) is not None


def _answers(place: Place) -> list[str]:
    if place.config.exists():
        return []
    return [str(place.config.parent), "--name=Example Gardens", "--dpo=dpo@example.org", "--operator=it@example.org"]


class Gaps:
    """A journal and a checkpoint are lost for good, a person has accepted it, and it starts again."""

    def begin(self, place: Place) -> None:
        place.demand("init")
        submit(place, 0)
        place.demand("run-once")
        sound(place)  # loads what makes a PDF, which each life would load anew: half of what it cost

    def before(self, place: Place, number: int) -> None:
        anchors = place.folder / "anchors"
        (anchors / "journal").rename(anchors / "journal.gap")
        *_, newest = sorted(anchors.glob("*.checkpoint"))
        newest.rename(newest.with_suffix(".gap"))

    def live(self, place: Place, number: int) -> None:
        place.demand("run-once")

    def after(self, place: Place, number: int) -> None:
        place.demand("run-once")
        sound(place)
        submit(place, number)
        place.demand("run-once")
        assert _gaps(place) >= 2 * number, "a gap that was accepted stands nowhere"
        assert len(list((place.folder / "anchors").glob("journal.gap-recorded*"))) == number, "a lost journal is lost"


def _gaps(place: Place) -> int:
    with Installation(place.config, os.environ) as service:
        bodies = service.read(lambda connection: connection.execute(select(t.entry.c.body)).scalars().all())
    return [entry.decode(body)["event"] for body in bodies].count("gap")


LIVES: dict[str, Life] = {"work": Work(), "door": Door(), "init": Begun(), "gaps": Gaps()}
