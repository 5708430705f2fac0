"""The imitated Hootsuite as a test or a demo holds it in its hand."""

from datetime import datetime

from dpsync.sandbox.asked import folded
from dpsync.sandbox.handle import Handle
from dpsync.sandbox.hootsuite.api import Hootsuite
from dpsync.sandbox.hootsuite.filling import SeedContact, SeedPost
from dpsync.sandbox.hootsuite.inbox import Deleted


class HootsuiteHandle(Handle[Hootsuite]):
    """Hootsuite; `act` takes the fields of PersonActs, `switch` those of HootsuiteSwitches."""

    def add(self, handle: str, name: str = "", **more: object) -> str:
        """Adds one contact with a conversation; its profile id. `more`: fields of SeedContact."""
        seeded = SeedContact.model_validate({"handle": handle, "name": name, **more})
        return self.there(lambda vendor: vendor.plant(seeded).id)

    def hear(self, url: str, secret: str, *, errors: str = "") -> None:
        """Where write-backs go, signed with this secret (hexadecimal), and where errors that come late are told."""

        def do(vendor: Hootsuite) -> None:
            vendor.webhooks.write_back_url, vendor.webhooks.secret = url, secret
            vendor.webhooks.notification_url = errors or url

        self.there(do)

    def attributes(self, person: str) -> dict[str, tuple[str, str]]:
        """(value, source) by attribute, of the contact of this identifier, value or profile id; empty: none."""
        return self.there(
            lambda vendor: {
                name: (value, source)
                for one in vendor.inbox.of(person)
                for name, (value, source) in one.attributes.items()
            }
        )

    def deleted(self) -> list[Deleted]:
        """The Deleted-contacts log."""
        return self.there(lambda vendor: list(vendor.inbox.deleted))

    def schedule(self, text: str, at: datetime, state: str = "SCHEDULED") -> str:
        """Adds one outgoing post; its id."""
        seeded = SeedPost.model_validate({"text": text, "at": at, "state": state})
        return self.there(lambda vendor: vendor.schedule(seeded))

    def export(self, start: datetime, end: datetime) -> str:
        """The CSV of "Resolved conversations"."""
        return self.there(lambda vendor: vendor.export(start, end))

    def code(self, client: str, member: str, redirect_uri: str) -> str:
        """An authorisation code, as a member's consent in the browser gives it."""
        return self.there(lambda vendor: vendor.held.tokens.open_code(client, member, redirect_uri, vendor.now()))

    def lost(self) -> int:
        """How many write-backs the vendor has given up."""
        return self.there(lambda vendor: len(vendor.webhooks.lost))

    def erase(self, person: str, hint: str) -> int:
        """An Inbox admin deletes every contact of this person, with the hint; how many."""
        return self.act(folded(person), "delete", hint=hint)
