"""/metrics for Prometheus, on its own listener on this machine: how things stand, read from the store when asked."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from importlib.resources import files
from threading import Lock
from typing import Any, Final

from sqlalchemy import Connection, func, select

from dpsync import telemetry
from dpsync.custody.marks import anchored_at
from dpsync.installation import Installation
from dpsync.intake.polling.standing import standings
from dpsync.intake.sources.messages import messages_of
from dpsync.propagation.correspondence import reaching
from dpsync.reports.housekeeping import drilled, jobs, undelivered
from dpsync.reports.reconciled import standings as compared
from dpsync.running import listener
from dpsync.running.durations import Durations
from dpsync.running.listener import Answering
from dpsync.running.measures import Measures, content_type
from dpsync.soundness import judged_last
from dpsync.store import tables as t

KEPT: Final = 10.0
"""Seconds for which an answer is given again: less than between two questions of a Prometheus as shipped."""


def exposition(installation: Installation) -> tuple[bytes, str]:
    """(body, content type) of /metrics now, without the histograms."""
    return installation.read(partial(_standing, installation)).exposition(), content_type()


def _standing(installation: Installation, connection: Connection) -> Measures:
    now, measures = installation.clock.now(), Measures()
    _put_requests(measures, connection, now, now.astimezone(installation.zone).date())
    measures.alerts_waiting(len(undelivered(connection, now)))
    measures.jobs({one.name: one.last_ok_at for one in jobs(connection)})
    last = drilled(connection)
    good = last.at if last and not last.problems else None
    measures.ledger(installation.log.size(connection), anchored_at(connection), good)
    judged = judged_last(connection)
    measures.record_judged(judged.problems if judged else None, judged.at if judged else None)
    measures.sources.outboxes(
        {
            one.source: (one.waiting, one.refused, (now - one.since) / timedelta(seconds=1) if one.away else 0.0)
            for one in standings(connection).values()
        }
    )
    _put_sources(measures, connection)
    a = t.account.c
    found = connection.execute(select(a.id, a.stopped, a.blocked_since))
    why = {one.id: one.stopped or ("blocked" if one.blocked_since else "") for one in found}
    measures.stopped({account: word for account, word in why.items() if word})
    return measures


def _put_requests(measures: Measures, connection: Connection, now: datetime, today: Any) -> None:
    p, r, f = t.propagation.c, t.request.c, t.refusal.c
    states = select(p.right, p.state, p.processor, func.count()).group_by(p.right, p.state, p.processor)
    measures.propagations({(row[0], row[1], row[2]): row[3] for row in connection.execute(states)})
    oldest = select(p.right, p.processor, func.min(r.received_at)).join(t.request, r.id == p.request_id)
    oldest = oldest.where(reaching.OPEN).group_by(p.right, p.processor)
    waiting = {(row[0], row[1]): row[2] for row in connection.execute(oldest)}
    measures.waiting(reaching.counted(connection, now, today), waiting)
    due = connection.execute(select(func.min(t.lane.c.due_at))).scalar_one()
    measures.oldest_due((now - due) / timedelta(seconds=1) if due else 0.0)
    refused = select(f.source, f.status, f.field, func.sum(f.times)).group_by(f.source, f.status, f.field)
    measures.requests(
        {row[0]: row[1] for row in connection.execute(select(r.right, func.count()).group_by(r.right))},
        # A door of ours is called by several words, and a label is one.
        {(row[0].replace(" ", "-"), row[1], row[2]): int(row[3]) for row in connection.execute(refused)},
    )


def _put_sources(measures: Measures, connection: Connection) -> None:
    counts, ignored, last = dict[tuple[str, str], int](), dict[tuple[str, str], int](), dict[str, datetime]()
    for source, one in messages_of(connection).items():
        numbers = {"taken": one.taken, "ignored": sum(one.ignored.values()), "refused": one.refused}
        counts |= {(source, result): number for result, number in numbers.items()}
        ignored |= {(source, rule): times for rule, times in one.ignored.items()}
        last |= {source: one.last_at} if one.last_at else {}
    measures.sources.messages(counts, ignored, last)
    people = dict[tuple[str, str], int]()
    found = compared(connection)
    for source, each in found.items():
        said = {"agree": each.agree, "differ": each.differ, "not_known": each.not_known}
        people |= {(source, result): number for result, number in said.items()}
    measures.sources.people(people, {source: each.good_at for source, each in found.items()})


class _Kept:
    """What was read last, for `KEPT` seconds: everything that is stored is counted for it, and several may ask."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._durations = Durations(installation.clock.now())
        self._lock = Lock()
        self._until = 0.0
        self._value: tuple[bytes, str] | None = None

    def exposition(self) -> tuple[bytes, str]:
        with self._lock:
            now = self._installation.clock.monotonic()
            if self._value is None or now >= self._until:
                self._installation.read(self._durations.look)
                body, kind = exposition(self._installation)
                self._value = body + self._durations.histograms.exposition(), kind
                self._until = now + KEPT
            return self._value


def _page(kept: _Kept, path: str) -> tuple[int, bytes, str]:
    if path == "/openapi.json":
        return 200, files("dpsync.intake").joinpath("openapi.json").read_bytes(), "application/json"
    if path != "/metrics":
        return 404, b"", "text/plain"
    try:
        return 200, *kept.exposition()
    except Exception as error:  # noqa: BLE001 - because a traceback on stderr would quote values
        telemetry.log("metrics").error("not served", error=error)
        return 503, b"", "text/plain"


@contextmanager
def listening(installation: Installation) -> Iterator[str]:
    """Answer /metrics while the block runs, where `[intake] metrics_listen` is set. Gives the address, "" for none."""
    where = installation.settings.intake.metrics_listen
    if where is None:
        yield ""
        return

    kept = _Kept(installation)

    class Page(Answering):
        def do_GET(self) -> None:  # noqa: N802 - because the library names it so
            self.answer(*_page(kept, self.path))

    with listener.listening(where, Page, "metrics", "intake.metrics_listen") as address:
        yield address
