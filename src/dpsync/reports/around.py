"""What stands around the requests of a report, and what their lines have in common: made once for 300,000 of them."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from dpsync.mail_status import is_undelivered
from dpsync.model import CLOSED_STATES, DONE_STATES, Cause, Right, Rung, State, Way
from dpsync.propagation.extensions import Extension
from dpsync.reports.lines import LineKind
from dpsync.reports.meaning import Count, Late, Need, counted, counted_together, need, waits_for
from dpsync.reports.processors import ProcessorLine
from dpsync.store.columns import EPOCH

AT_ONCE = 2000
"""So many rows, or times, are held besides what is made of them."""


class Moments(dict[int | None, Any]):
    """A stored time as one of ours. Those of one request are much the same, so each is made once."""

    def __missing__(self, stored: int) -> datetime:
        if len(self) > AT_ONCE:
            self.clear()
            self[None] = None
        made = self[stored] = EPOCH + timedelta(0, 0, stored)  # by name it takes twice as long
        return made


@dataclass(frozen=True, slots=True)
class Around:
    """What stands around a request: the time, the processors as they are set, why an account is stopped, and which
    dates were extended."""

    now: datetime
    processors: Mapping[str, ProcessorLine]
    stopped: Mapping[str, str]
    longer: Mapping[str, Extension]
    kinds: dict[Right, dict[tuple[Any, ...], LineKind]] = field(default_factory=lambda: defaultdict(dict))
    needs: dict[tuple[LineKind, Late, bool], Need] = field(default_factory=dict)
    together: dict[tuple[LineKind, ...], Count] = field(default_factory=dict)
    moments: Moments = field(default_factory=lambda: Moments({None: None}))

    def kind(self, right: Right, key: tuple[Any, ...]) -> LineKind:
        """Of a right, and a processor, account, state, rung, way, causes, reason, task, attempts and notices: made, for
        it was not among `kinds`."""
        found = self.kinds[right][key] = self._made(right, *key)
        return found

    def counts_as(self, kinds: tuple[LineKind, ...]) -> Count:
        """How a request with such lines is counted; asked once of all that are alike."""
        found = self.together.get(kinds)
        if found is None:
            found = self.together[kinds] = counted_together([kind.counts_as for kind in kinds])
        return found

    def _made(
        self,
        right: Right,
        name: str,
        account: str,
        stored: str,
        rung: int,
        way: str,
        said: str,
        *rest: Any,
    ) -> LineKind:
        processor, state = self.processors.get(name), State(stored)
        can = processor.of(right) if processor else None
        causes = tuple(Cause(one) for one in said.split(",") if one)
        stop = self.stopped.get(account, "") if state is State.PENDING else ""
        reason, task, attempts, notices = rest
        return LineKind(
            right=right,
            processor=name,
            title=processor.title if processor else name,
            state=state,
            counts_as=counted(state),
            rung=Rung(rung),
            way=Way(way),
            causes=causes,
            reason=reason,
            task=task,
            attempts=attempts,
            notices=notices,
            waits_for=waits_for(state, frozenset(causes), stopped=bool(stop)),
            stopped=stop,
            limits=can.limits if can else "" if processor else "not configured any more: what it can do is not known",
            done=state in DONE_STATES,
            closed=state in CLOSED_STATES,
        )

    def need(self, kind: LineKind, late: Late, *, silent: bool) -> Need:
        """What a person must do about a line; asked once of all that are alike."""
        found = self.needs.get((kind, late, silent))
        if found is None:
            causes, reached = frozenset(kind.causes), not is_undelivered(kind.reason)
            found = need(kind.state, causes, late, stopped=bool(kind.stopped), silent=silent, reached=reached)
            self.needs[kind, late, silent] = found
        return found
