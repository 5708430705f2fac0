"""/metrics for Prometheus, on its own listener on this machine: how things stand, read from the store when asked."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from sqlalchemy import Connection, func, select

from dpsync import telemetry
from dpsync.custody import anchored_at
from dpsync.installation import Installation
from dpsync.reports.housekeeping import undelivered
from dpsync.running import listener
from dpsync.running.listener import Answering
from dpsync.soundness import judged_last
from dpsync.store import tables as t


def exposition(installation: Installation) -> tuple[bytes, str]:
    """(body, content type) of /metrics now."""

    def read(connection: Connection) -> telemetry.Metrics:
        p, now = t.propagation.c, installation.clock.now()
        metrics = telemetry.Metrics()
        counts = connection.execute(select(p.state, p.processor, func.count()).group_by(p.state, p.processor))
        metrics.propagations({(row[0], row[1]): row[2] for row in counts})
        metrics.alerts_waiting(len(undelivered(connection, now)))
        metrics.ledger(installation.log.size(connection), anchored_at(connection))
        judged = judged_last(connection)
        metrics.record_judged(judged.problems if judged else None, judged.at if judged else None)
        f = t.refusal.c
        refused = select(f.source, f.status, f.field, func.sum(f.times)).group_by(f.source, f.status, f.field)
        metrics.refused({(row[0], row[1], row[2]): int(row[3]) for row in connection.execute(refused)})
        oldest = connection.execute(select(func.min(t.lane.c.due_at))).scalar_one()
        metrics.oldest_due((now - oldest) / timedelta(seconds=1) if oldest else 0.0)
        return metrics

    return installation.read(read).exposition()


def _page(installation: Installation, path: str) -> tuple[int, bytes, str]:
    if path != "/metrics":
        return 404, b"", "text/plain"
    try:
        return 200, *exposition(installation)
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

    class Page(Answering):
        def do_GET(self) -> None:  # noqa: N802 - because the library names it so
            self.answer(*_page(installation, self.path))

    with listener.listening(where, Page, "metrics", "intake.metrics_listen") as address:
        yield address
