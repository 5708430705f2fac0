"""What Prometheus may know, with a name, labels and a unit for each: words and numbers of ours, never a person."""

import math
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from dpsync import __version__
from dpsync.telemetry import label

_FIELD = re.compile(r"[a-z_*-]{0,40}(?:\.[a-z_*-]{1,40}){0,5}")
_MINUTE, _HOUR, _DAY = 60, 3600, 86400

WAITS: Final = (1, 5, 15, _MINUTE, 5 * _MINUTE, 15 * _MINUTE, _HOUR, 4 * _HOUR, _DAY, 3 * _DAY)
CALLS: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 60, 120)
COMPLETIONS: Final = (_MINUTE, 10 * _MINUTE, _HOUR, 4 * _HOUR, _DAY, 3 * _DAY, 7 * _DAY, 30 * _DAY)
"""Where a request ends up that has its opt-out within a day, our target of 72 hours, a week, a month."""


OUTBOX: Final = {
    "waiting_rows": "Rows that wait in the outbox of a source",
    "refused_rows": "Rows in it that were refused",
    "away_seconds": "For how long it cannot be reached; 0: it can",
}


class Measures:
    """How things stand, all read from the store at one moment."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge

        here = self.registry = CollectorRegistry(auto_describe=True)

        def gauge(name: str, says: str, *labels: str) -> Gauge:
            return Gauge(f"dpsync_{name}", says, labels, registry=here)

        gauge("build_info", "The version that runs; always 1", "version").labels(__version__).set(1)
        self._states = gauge(
            "propagations", "Propagations by right, state and processor", "right", "state", "processor"
        )
        self._open = gauge(
            "propagations_open",
            "What waits for somebody, by the level of the alerts that it has reached (none: in time), right, processor",
            "level",
            "right",
            "processor",
        )
        self._oldest_open = gauge(
            "oldest_open_timestamp_seconds", "When the oldest that waits was received", "right", "processor"
        )
        self._oldest_due = gauge("oldest_due_seconds", "How long the oldest due work has been due")
        self._stopped = gauge("account_stopped", "1 for each account that nothing is sent to", "account", "why")
        self._jobs = gauge("job_last_success_timestamp_seconds", "Last success of a timed job; 0: never", "job")
        self._alerts = gauge("alerts_waiting", "Alerts that no channel has taken yet")
        self._entries = gauge("ledger_entries", "Entries in the ledger")
        self._problems = gauge("record_problems", "Problems of the record when it was last compared; NaN: not yet")
        self._compared = gauge("record_compared_timestamp_seconds", "Last comparison; NaN: none")
        self._anchored = gauge("anchored_timestamp_seconds", "Last anchor; NaN: not yet")
        self._drilled = gauge("drill_timestamp_seconds", "Last good drill; NaN: none")
        self.record_judged(None, None)
        self.ledger(0, None)
        self.sources = SourceMeasures(here)
        self._refused = Counter(
            "dpsync_requests_refused", "Requests that dpsync refused", ["source", "status", "field"], registry=here
        )
        self._accepted = Counter("dpsync_requests_accepted", "Requests that dpsync accepted", ["right"], registry=here)

    def propagations(self, counts: Mapping[tuple[str, str, str], int]) -> None:
        """Sets all counts by (right, state, processor); what is not named is no more."""
        _set_all(self._states, counts)

    def waiting(self, counts: Mapping[tuple[str, str, str], int], oldest: Mapping[tuple[str, str], datetime]) -> None:
        """Sets what is open by (level of the ladder or "", right, processor), and since when by (right, processor)."""
        _set_all(self._open, {(level or "none", *more): count for (level, *more), count in counts.items()})
        _set_all(self._oldest_open, {labels: at.timestamp() for labels, at in oldest.items()})

    def stopped(self, accounts: Mapping[str, str]) -> None:
        """Sets which accounts nothing is sent to, and why: a credential, a person, something before the processor."""
        _set_all(self._stopped, dict.fromkeys(accounts.items(), 1))

    def jobs(self, succeeded: Mapping[str, datetime | None]) -> None:
        """Sets when each timed job last succeeded; None: never, which is as long ago as can be."""
        _set_all(self._jobs, {(job.replace(":", "-"),): at.timestamp() if at else 0 for job, at in succeeded.items()})

    def alerts_waiting(self, count: int) -> None:
        """How many alerts no channel has taken yet."""
        self._alerts.set(count)

    def ledger(self, entries: int, anchored: datetime | None, drilled: datetime | None = None) -> None:
        """How many entries it has; when all were last under a checkpoint outside, and when a back-up stood a drill."""
        self._entries.set(entries)
        self._anchored.set(anchored.timestamp() if anchored else math.nan)
        self._drilled.set(drilled.timestamp() if drilled else math.nan)

    def record_judged(self, problems: int | None, at: datetime | None) -> None:
        """Sets how the last comparison of the whole record ended, and when that was; None: there was none yet."""
        self._problems.set(math.nan if problems is None else problems)
        self._compared.set(at.timestamp() if at else math.nan)

    def requests(self, accepted: Mapping[str, int], refused: Mapping[tuple[str, int, str], int]) -> None:
        """Sets how many were accepted by right, and refused by (source, HTTP status, field in our names)."""
        _count_all(self._accepted, {(right,): count for right, count in accepted.items()})
        self._refused.clear()
        for (source, status, field), count in refused.items():
            self._refused.labels(label(source), str(status), field if _FIELD.fullmatch(field) else "other").inc(count)

    def oldest_due(self, seconds: float) -> None:
        """How long the oldest due work has been due; 0 where nothing is."""
        self._oldest_due.set(max(0.0, seconds))

    def exposition(self) -> bytes:
        """The lines for /metrics."""
        return _text(self.registry)


class SourceMeasures:
    """What main databases with a shape of their own send, as a part of `Measures`."""

    def __init__(self, registry: Any) -> None:
        from prometheus_client import Counter, Gauge

        def gauge(name: str, says: str, *labels: str) -> Gauge:
            return Gauge(f"dpsync_{name}", says, ("source", *labels), registry=registry)

        def counter(name: str, says: str, label_name: str) -> Counter:
            return Counter(f"dpsync_{name}", says, ("source", label_name), registry=registry)

        self._messages = counter("source_messages", "Messages of a source, by what became of it", "result")
        self._ignored = counter("source_messages_ignored", "Those that ask for nothing, by rule", "rule")
        self._last = gauge("source_last_message_timestamp_seconds", "Last message of a source that was understood")
        self._people = gauge("source_people", "People that a source lists, compared with what was asked", "result")
        self._listed = gauge("source_people_compared_timestamp_seconds", "Last whole comparison; NaN: none")
        self._outboxes = [gauge(f"outbox_{name}", says) for name, says in OUTBOX.items()]

    def messages(
        self,
        counts: Mapping[tuple[str, str], int],
        ignored: Mapping[tuple[str, str], int],
        last: Mapping[str, datetime],
    ) -> None:
        """Sets how many messages came by (source, taken or ignored or refused), those ignored by (source, rule), and
        when the last came that was understood.
        """
        _count_all(self._messages, counts)
        _count_all(self._ignored, ignored)
        _set_all(self._last, {(source,): at.timestamp() for source, at in last.items()})

    def people(self, counts: Mapping[tuple[str, str], int], compared: Mapping[str, datetime | None]) -> None:
        """Sets how the list of each source compares by (source, agree or differ or not_known), and when that was."""
        _set_all(self._people, counts)
        _set_all(self._listed, {(source,): at.timestamp() if at else math.nan for source, at in compared.items()})

    def outboxes(self, standing: Mapping[str, tuple[int, int, float]]) -> None:
        """Sets of each source with an outbox: rows that wait, rows refused, seconds for which it cannot be reached."""
        for place, measure in enumerate(self._outboxes):
            _set_all(measure, {(source,): figures[place] for source, figures in standing.items()})


class Histograms:
    """How long things took that ended since this was made: histograms of a process begin anew with it."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Histogram

        here = self.registry = CollectorRegistry(auto_describe=True)

        def histogram(name: str, says: str, buckets: Iterable[float], *labels: str) -> Histogram:
            return Histogram(f"dpsync_{name}_duration_seconds", says, labels, registry=here, buckets=tuple(buckets))

        self._queue = histogram(
            "queue", "From acceptance to the first attempt; being held or paused counts", WAITS, "processor"
        )
        self._attempt = histogram("attempt", "One attempt, with all its calls", CALLS, "kind", "processor")
        self._completion = histogram("completion", "From receipt until done", COMPLETIONS, "right", "processor")

    def queued(self, processor: str, seconds: float) -> None:
        """A first attempt began so long after the request was accepted."""
        self._queue.labels(label(processor)).observe(max(0.0, seconds))

    def attempted(self, kind: str, processor: str, seconds: float) -> None:
        """An attempt took so long."""
        self._attempt.labels(label(kind), label(processor)).observe(max(0.0, seconds))

    def completed(self, right: str, processor: str, seconds: float) -> None:
        """A request was done at a processor so long after it was received."""
        self._completion.labels(label(right), label(processor)).observe(max(0.0, seconds))

    def exposition(self) -> bytes:
        """The lines for /metrics."""
        return _text(self.registry)


def content_type() -> str:
    """What the lines are."""
    from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

    return CONTENT_TYPE_PLAIN_0_0_4


def _text(registry: Any) -> bytes:
    from prometheus_client.exposition import generate_latest

    return generate_latest(registry)


def _count_all(counter: Any, values: Mapping[Any, int]) -> None:
    counter.clear()
    for labels, value in values.items():
        counter.labels(*(label(one) for one in labels)).inc(value)


def _set_all(gauge: Any, values: Mapping[Any, float]) -> None:
    gauge.clear()
    for labels, value in values.items():
        gauge.labels(*(label(one) for one in labels)).set(value)
