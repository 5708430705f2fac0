"""One call to Eventbrite as its endpoints read it, what it may see, and how the vendor says no.

Source: the vendor notes on API v3, sections 1 to 3.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from dpsync.sandbox import asked, vendor
from dpsync.sandbox.asked import Header, folded
from dpsync.sandbox.eventbrite.filling import EventbriteSwitches
from dpsync.sandbox.eventbrite.records import Event, Records, Token


class Refusal(vendor.Refusal):
    """A no in the vendor's own words."""

    def __init__(self, status: int, error: str, description: str = "", *headers: Header) -> None:
        super().__init__(status, description or error.replace("_", " ").capitalize() + ".", *headers)
        self.error = error


class Moved(Refusal):
    """The path lacks its slash at the end."""

    counted = "moved"

    def __init__(self, location: str) -> None:
        super().__init__(301, "PERMANENTLY_MOVED", "", ("location", location))


@dataclass(slots=True)
class Asked(asked.Asked[Records, EventbriteSwitches]):
    """One authenticated call, with its token."""

    token: Token = field(default_factory=lambda: Token(""))

    @property
    def url(self) -> str:
        """The vendor's own address, as the caller knows it."""
        return str(self.request.base_url).rstrip("/")

    @property
    def organization(self) -> str:
        """The organisation of the path. Raises `Refusal` 403 where it is another's, 404 where there is none."""
        wanted = self.names["organization_id"]
        if wanted not in self.held.organizations:
            raise Refusal(404, "NOT_FOUND")
        if self.switches.drop_access or wanted not in self.token.organizations:
            raise Refusal(403, "NOT_AUTHORIZED")
        return wanted

    @property
    def event(self) -> Event:
        """The event of the path. Raises `Refusal`."""
        found = self.held.events.get(self.names["event_id"])
        if found is None:
            raise Refusal(404, "NOT_FOUND")
        if self.switches.drop_access or found.organization_id not in self.token.organizations:
            raise Refusal(403, "NOT_AUTHORIZED")
        return found

    def ours(self, event_id: str) -> bool:
        """Whether the token may see what belongs to an event. For one record without the right to it: as if gone."""
        return not self.switches.drop_access and self.held.organization_of(event_id) in self.token.organizations

    def several(self, name: str) -> frozenset[str]:
        """A list parameter, repeated or comma-joined: which of the two the vendor means is not documented."""
        given = (part for value in self.query.getlist(name) for part in value.split(","))
        return frozenset(folded(part) for part in given if part.strip())

    @property
    def expand(self) -> frozenset[str]:
        """What is to be expanded. Raises `Refusal` 500 where the vendor cannot."""
        wanted = self.several("expand") - {"none"}
        if wanted and self.switches.expansion_failed:
            raise Refusal(500, "EXPANSION_FAILED")
        return wanted

    def changed_since(self) -> datetime | None:
        """The filter. Raises `Refusal` 400 for what is no time."""
        given = self.query.get("changed_since")
        if given is None:
            return None
        try:
            at = datetime.fromisoformat(given)
        except ValueError:
            raise Refusal(400, "ARGUMENTS_ERROR", "changed_since is not a datetime") from None
        return at if at.tzinfo else at.replace(tzinfo=UTC)
