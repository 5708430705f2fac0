"""Google Analytics User Deletion API: queues the deletion of one identifier in one property, and shows nothing.

An identifier that it never saw is accepted like any other, so an acceptance is all that can ever be said.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from itertools import product
from types import MappingProxyType
from typing import ClassVar, Final

from pydantic import BaseModel

from dpsync.connector import (
    Accepted,
    Account,
    CannotTell,
    Capability,
    Finding,
    Instruction,
    Kit,
    Means,
    NotIdentifiable,
    Outcome,
    Retryable,
)
from dpsync.connectors.google_analytics.calls import ERRORS, Calls, GoogleAnalyticsSettings, pace_of, token_of
from dpsync.connectors.google_analytics.ids import NO_ID, fault_of, read
from dpsync.model import Right
from dpsync.vendor.connector import HttpConnector
from dpsync.vendor.errors import Ended
from dpsync.vendor.outcomes import together

# It leaves the report on one user within 72 hours, and the servers with the next run, about every two months. Before
# that the person's right is not carried out, so that is the date from which somebody is asked to look and attest it:
# whoever looks earlier sees the report alone.
_CARRIED_OUT: Final = timedelta(days=62)


class GoogleAnalytics(HttpConnector[GoogleAnalyticsSettings, Calls]):
    """Asks for deletions, keeps the first answer to each as proof, and claims no more."""

    name: ClassVar[str] = "google_analytics"
    vendor: ClassVar[str] = "Google Analytics"
    address: ClassVar[str] = ""  # of two hosts, which one `base_url` replaces
    errors = ERRORS
    Settings: ClassVar[type[BaseModel]] = GoogleAnalyticsSettings
    max_inflight: ClassVar[int] = 1
    """One at a time keeps the pace of each property."""

    capabilities: ClassVar[Mapping[Right, Capability]] = MappingProxyType(
        {
            Right.ERASURE: Capability(
                means=Means.API,
                effect="For each of the person's client, user and app ids that we are told, and in each property, the "
                "deletion of what was collected until that moment is queued: out of the report on one user within 72 "
                "hours, off the servers about two months later.",
                limits="An id that Google never saw is accepted as well, and nothing can be looked up. What was "
                "aggregated in reports already, BigQuery and other exports are not reached. Whoever visits again is "
                "collected anew: this is no opt-out, which only the site's own consent settings can bring about.",
                verified_by="",
                source="Google Analytics guide, reference and quotas of user deletion, and discovery document "
                "analytics.v3 of 7 August 2019, as read in November 2026",
            )
        }
    )

    def __init__(
        self, settings: GoogleAnalyticsSettings, kit: Kit, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        super().__init__(settings, kit)
        self._pace, self._token = pace_of(kit, sleep), token_of(settings, kit)

    def calls(self, order: Instruction | None) -> Calls:
        """Deletions, and the tokens for them."""
        return Calls(self._kit, self._settings.base_url, self._token, self._pace, order)

    def account(self, calls: Calls) -> Account:
        """Whether the token may delete users, by its scope: a deletion to try it out would be one."""
        self._token.renewed(calls)
        held = self._settings.properties
        properties = "property" if len(held) == 1 else "properties"
        return Account(title=f"Google Analytics, {len(held)} {properties}", contacts=None, lists=held)

    def carry_out(self, instruction: Instruction) -> Outcome:
        """Ask once for each id and property; what was answered in an earlier attempt is not asked again.

        Raises `CredentialsRejected`, and `UnsupportedRight` before any call.
        """
        self.demand_declared(instruction.right)
        ids = list(dict.fromkeys(self._ids(instruction)))
        if not ids:
            return NotIdentifiable(reason=NO_ID)
        if faults := [fault for one in ids if (fault := fault_of(*one))]:
            # All or none: where a part of what is known was deleted, nobody would look for the rest.
            kept = f"{len(ids) - len(faults)} of {len(ids)} ids can be used, and nothing is sent before all can be"
            usable = [kept] if len(faults) < len(ids) else []
            return NotIdentifiable(reason="; ".join([*dict.fromkeys(faults), *usable]))
        calls = self.calls(instruction)
        latest, ended = self._kit.clock.now(), []
        for place, (kind, value) in product(self._settings.properties, ids):
            try:
                latest = max(latest, self._ask(calls, instruction.reference, place, kind, value))
            except Ended as end:
                ended.append(end.outcome)
                if isinstance(end.outcome, Retryable):
                    break
        if ended:
            return together(ended, calls.kept, touched=calls.touched)
        return Accepted(evidence=calls.kept, answer_by=latest + _CARRIED_OUT)

    def verify(self, instruction: Instruction) -> Finding:
        """Always `CannotTell`, without a call: there is none that reads. A person may look, and attest it."""
        self.demand_declared(instruction.right)
        return CannotTell(reason="Google Analytics lets nobody read back what was deleted")

    def _ids(self, order: Instruction) -> Iterator[tuple[str, str]]:
        """Kind and value of each, as `references` give them."""
        yield from map(read, order.references.get(self.name, ()))
        if self._settings.user_id and order.subject_id:
            yield "USER_ID", order.subject_id

    def _ask(self, calls: Calls, reference: str, place: str, kind: str, value: str) -> datetime:
        """Until when Google deletes what it collected. Raises `Ended`, `CredentialsRejected`."""
        key = f"asked/{reference}/{place}/{self._kit.pseudonym(f'{kind}:{value}')}"
        first = self._kit.shelf.get(key)
        if first is not None:
            return datetime.fromisoformat(first)  # asked again, the moment would move on and the first proof be lost
        until = calls.delete(place, kind, value)
        self._kit.shelf.put(key, until.isoformat())
        return until
