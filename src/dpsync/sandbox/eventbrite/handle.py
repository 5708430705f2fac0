"""The imitated Eventbrite as a test or a demo holds it in its hand."""

from collections.abc import Iterable, Mapping

from dpsync.sandbox.asked import folded
from dpsync.sandbox.eventbrite.api import Eventbrite
from dpsync.sandbox.eventbrite.filling import SeedGuest, SeedOrder
from dpsync.sandbox.eventbrite.records import address_of, name_of
from dpsync.sandbox.handle import Handle


class EventbriteHandle(Handle[Eventbrite]):
    """Eventbrite; `act` takes the fields of PersonActs, `switch` those of EventbriteSwitches."""

    def add(
        self,
        email: str,
        first_name: str = "",
        last_name: str = "",
        *,
        event: str = "Open day",
        guests: Iterable[str] = (),
        answers: Mapping[str, str] | None = None,
        organization: str | None = None,
        **more: object,
    ) -> str:
        """Adds one order, its event made where it is new; the order's id. `more`: fields of SeedOrder."""
        seeded = SeedOrder.model_validate(
            {
                "email": email,
                "first_name": first_name,
                "last_name": last_name,
                "guests": [SeedGuest(email=one) for one in guests],
                "answers": dict(answers or {}),
                **more,
            }
        )

        def do(vendor: Eventbrite) -> str:
            home = organization or next(iter(vendor.records.organizations))
            return vendor.place(vendor.open_event(home, event), seeded).id

        return self.there(do)

    def organizations(self) -> list[str]:
        """The ids of all organisations."""
        return self.there(lambda vendor: list(vendor.records.organizations))

    def attendees(self, email: str) -> list[tuple[str, str]]:
        """(event id, attendee id) of every ticket of an address."""
        return self.there(
            lambda vendor: [
                (one.event_id, one.id)
                for one in vendor.records.attendees.values()
                if folded(address_of(one)) == folded(email)
            ]
        )

    def names(self, email: str) -> list[str]:
        """The name on every order and ticket of an address."""
        return self.there(
            lambda vendor: [name_of(one) for one in vendor.records.all() if folded(address_of(one)) == folded(email)]
        )

    def opted_in(self, email: str) -> list[bool]:
        """The marketing opt-in on every order and ticket of an address."""
        return self.there(
            lambda vendor: [one.opted_in for one in vendor.records.all() if folded(address_of(one)) == folded(email)]
        )
